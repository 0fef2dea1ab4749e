"""How this server says who it is, where it is a client of an issuer (RFC 6749 section 2.3.1).

The rule: a secret is read from its file each time, so that a new one is taken, and is sent in one of the two ways that
the issuer was said to want.
"""

from base64 import b64encode
from typing import Literal
from urllib.parse import quote_plus

ClientAuthentication = Literal["basic", "post"]


def authenticate(
    how: ClientAuthentication, *, client_id: str, secret: str, headers: dict[str, str], body: dict[str, str]
) -> None:
    """Add what says it to the `headers` or the `body` of a request."""
    if how == "basic":
        # Form-encoded each, so that a `:` in either is none between them.
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode("ascii")
        headers["authorization"] = "Basic " + b64encode(pair).decode("ascii")
    else:
        body |= {"client_id": client_id, "client_secret": secret}
