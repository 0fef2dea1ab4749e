"""The client's address through the trusted proxies in front of Envoy.

The rule: count from the right. Each proxy appends the address of its own peer to X-Forwarded-For, so that only the
right end was written by those whom we trust; everything to the left of the client is the client's own words.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from extauthz.identity.config import ClientSettings
from extauthz.values.request import RequestView

HEADER = "x-forwarded-for"

# Some load balancers add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::[0-9]{1,5})?")
_MAX_LENGTH = 53
# Most addresses are these, and have no other spelling: to read one with `ipaddress` takes ten times as long.
_PART = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_CANONICAL_IPV4 = re.compile(rf"{_PART}(?:\.{_PART}){{3}}")


def client_ip(request: RequestView, settings: ClientSettings) -> str:
    """The client's address in canonical text, empty if it is not known.

    Without trusted hops it is Envoy's peer. With them it is the entry that the outermost trusted proxy appended; it
    is not known if there are fewer entries than that, or if the entry is no address: then somebody has gone round the
    proxies, or they do not do what the configuration says.
    """
    if settings.trusted_hops == 0:
        return canonical(request.source.ip)
    if request.http is None:
        return ""
    index = settings.trusted_hops + (1 if settings.xff == "appended" else 0)
    entries = _from_the_right(request.http.headers.get(HEADER, ()), index)
    return canonical(entries[-index].strip(" \t")) if len(entries) >= index else ""


def _from_the_right(values: Sequence[str], count: int) -> list[str]:
    """At least the last `count` entries, if there are as many; whatever is left of them stays one text."""
    return ",".join(values).rsplit(",", count) if values else []


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(text if match is None else match[1] or match[2])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return ""
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
    return str(address)


def canonical(text: str) -> str:
    """The one spelling of an IP address, IPv4 inside IPv6 (`::ffff:192.0.2.1`) as IPv4; empty if it is none."""
    if len(text) > _MAX_LENGTH:
        return ""
    return text if _CANONICAL_IPV4.fullmatch(text) is not None else _canonical(text)
