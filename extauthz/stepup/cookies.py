"""The cookies of the pages: how they are set and read.

The rule: all are `__Host-` cookies, which no subdomain, no plain connection and no script can set or read (RFC 6265bis
section 4.1.3.2). `Lax`, not `Strict`: the browser may come to the page from a link on another site.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

COOKIE_SECRET_BYTES: Final = 32

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def make_secret(random: bytes) -> str:
    """A cookie value from COOKIE_SECRET_BYTES random bytes."""
    return urlsafe_b64encode(random).rstrip(b"=").decode("ascii")


def set_cookie(name: str, value: str, *, max_age: int | None = None) -> str:
    """The whole `Set-Cookie` value. Without `max_age`, in seconds, it ends with the browser's session."""
    lasts = "" if max_age is None else f"; Max-Age={max_age}"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{lasts}"


def read_secret(fields: Iterable[str], name: str) -> str | None:
    """The secret in the cookie `name` in these `Cookie` fields, `None` unless there is one that we can have made."""
    value = read_cookie(fields, name)
    return value if value is not None and _SECRET.fullmatch(value) else None


def read_cookie(fields: Iterable[str], name: str) -> str | None:
    """The value of the cookie `name` in these `Cookie` fields, `None` unless there is exactly one.

    Two of one name are none: a reader that picks one can be made to pick the wrong one.
    """
    values = [
        value.strip(" \t")
        for cookies in fields
        for pair in cookies.split(";")
        for given, _, value in [pair.partition("=")]
        if given.strip(" \t") == name
    ]
    return values[0] if len(values) == 1 else None
