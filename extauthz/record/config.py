"""The `audit:` block of the configuration: where records go, and what of a request is kept in the clear."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from extauthz.values.block import Block
from extauthz.values.duration import longer_than_nothing, seconds
from extauthz.values.size import size_in_bytes

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


class RotateSettings(Block):
    """When the audit goes on in a new file: at this many bytes, or this many seconds after its first line."""

    size: Annotated[int, BeforeValidator(size_in_bytes)] | None = None
    every: Annotated[float, BeforeValidator(seconds), AfterValidator(longer_than_nothing)] | None = None

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if self.size is None and self.every is None:
            raise ValueError("needs `size`, `every` or both: when the file is rotated")
        return self


class RetainSettings(Block):
    """For how many seconds a rotated file is kept, and how many of them; what is missing is no limit."""

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    for_: Annotated[float | None, BeforeValidator(seconds), AfterValidator(longer_than_nothing), Field(alias="for")] = (
        None
    )
    files: Annotated[int, Field(ge=1)] | None = None


class AuditSettings(Block):
    """The file that one JSON line per decision is appended to, relative to the configuration's folder, and what becomes
    of it. `when_full` is what becomes of decisions while it can't be written."""

    path: Path
    keep: KeepSettings = KeepSettings()
    rotate: RotateSettings | None = None
    retain: RetainSettings | None = None
    when_full: Literal["deny", "go-on"] = "go-on"

    @model_validator(mode="after")
    def _retains_what_it_rotates(self) -> Self:
        if self.retain is not None and self.rotate is None:
            raise ValueError("`retain` is about rotated files; say with `rotate` when that is")
        return self
