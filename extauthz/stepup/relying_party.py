"""The `webauthn:` block of extauthz.yaml: as whom this server asks for security keys and passkeys.

The rule: what no browser would accept is refused when it is loaded, in words that say so, and not by a browser in front
of a user.
"""

import re
from ipaddress import ip_address
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from extauthz.values.block import Block, distinct

_DOMAIN: Final = re.compile(
    r"(?!.{254})(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)


def _relying_party_id(text: str) -> str:
    """Web Authentication section 5.1.3, step 7: a domain; an effective domain that is an address is none."""
    if _is_address(text):
        raise ValueError(
            f"`{text}` is an IP address, and browsers take none as a relying party; write the domain of the "
            "application, or `localhost` on this machine"
        )
    if _DOMAIN.fullmatch(text) is None:
        raise ValueError(
            f"`{text}` is no domain; write it in lower case without scheme, port and final dot, like `example.com`"
        )
    return text


def https_origin(text: str) -> str:
    """An origin as browsers write it (RFC 6454 section 6.2): they send it, and it is compared as a text."""
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        host, port = "", None
    written = f"https://{host}" if port in (None, 443) else f"https://{host}:{port}"
    if not host or text != written:
        raise ValueError(
            f"`{text}` is no origin of a page with https; write `https://app.example.com`, in lower case, with a port "
            "only if it is not 443, and nothing behind it"
        )
    return text


def _is_address(text: str) -> bool:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


class RelyingParty(Block):
    """As whom this server asks for security keys and passkeys."""

    id: Annotated[str, AfterValidator(_relying_party_id)]
    """The domain that credentials belong to, for good. With another one all that users have enrolled are lost."""
    name: Annotated[str, Field(min_length=1, max_length=64)] = "extauthz"
    """What browsers show when they ask for a key."""
    origins: Annotated[
        tuple[Annotated[str, AfterValidator(https_origin)], ...], AfterValidator(distinct), Field(min_length=1)
    ]
    """The origins of pages that may use the credentials, each `https://` and within `id`."""

    @model_validator(mode="after")
    def _origins_are_of_the_domain(self) -> Self:
        for origin in self.origins:
            host = urlsplit(origin).hostname or ""
            if host != self.id and not host.endswith(f".{self.id}"):
                raise ValueError(f"the origin `{origin}` is not within `{self.id}`; browsers would refuse it there")
        return self
