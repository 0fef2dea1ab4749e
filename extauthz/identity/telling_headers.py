"""The headers that tell who calls under some settings.

The rule: a header that Envoy withholds looks absent, and whoever is known by it would be nobody, or somewhere else. So
each of these must be among those that Envoy sends. What only confirms a proof need not.
"""

from collections.abc import Iterator

from extauthz.identity import address, client_cert, dpop, xfcc
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.user_config import AUTHORIZATION, COOKIE_PREFIX, MetadataSource
from extauthz.identity.workload_token_config import HEADER_PREFIX


def telling_headers(identity: IdentitySettings, client: ClientSettings) -> frozenset[str]:
    """Their names in lower case."""
    return frozenset(_named(identity, client))


def _named(identity: IdentitySettings, client: ClientSettings) -> Iterator[str]:
    if client.trusted_hops:
        yield address.HEADER
    workload = identity.workload
    if workload.xfcc.without_principal:
        yield xfcc.HEADER
    if workload.client_cert.without_principal:
        yield client_cert.HEADER
    for block in (workload.jwt_svid, workload.kubernetes):
        for place in () if block is None else block.places:
            yield AUTHORIZATION if place == AUTHORIZATION else place.removeprefix(HEADER_PREFIX)
    for source in identity.users:
        if isinstance(source, MetadataSource):
            continue
        for place in source.places:
            yield "cookie" if place.startswith(COOKIE_PREFIX) else AUTHORIZATION
        if source.dpop == "required":
            yield dpop.HEADER
