"""The `audit:` block of the configuration: where records go, and what of a request is kept in the clear."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator

from extauthz.values.block import Block

NEVER_KEPT: Final = frozenset(
    {
        "authorization",
        "cookie",
        "dpop",
        "proxy-authorization",
        "set-cookie",
        "x-extauthz-otp",
        "x-forwarded-client-cert",
    }
)
"""Headers whose values are credentials, lower case: no setting puts them into a record."""


def _kept_header(name: str) -> str:
    if name.lower() in NEVER_KEPT:
        raise ValueError(f"`{name}` carries credentials, which are never recorded; remove it")
    return name.lower()


class KeepSettings(Block):
    """Values that are recorded in the clear on top of the defaults; every other value is masked."""

    headers: frozenset[Annotated[str, AfterValidator(_kept_header)]] = frozenset()
    query: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()


class AuditSettings(Block):
    """The file that one JSON line per decision is appended to, relative to the configuration's folder."""

    path: Path
    keep: KeepSettings = KeepSettings()
