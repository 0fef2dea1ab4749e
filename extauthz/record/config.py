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
    """Headers whose values are recorded. Those that carry credentials never are."""
    query: frozenset[str] = frozenset()
    """Parameters of the query whose values are recorded."""
    claims: frozenset[str] = frozenset()
    """Claims of users whose values are recorded."""


class RotateSettings(Block):
    """When the audit goes on in a new file: at whichever comes first."""

    size: Annotated[int, BeforeValidator(size_in_bytes)] | None = None
    """At which size a new file begins, as `100MB`."""
    every: Annotated[float, BeforeValidator(seconds), AfterValidator(longer_than_nothing)] | None = None
    """How long after its first line a new file begins, as `24h`."""

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if self.size is None and self.every is None:
            raise ValueError("needs `size`, `every` or both: when the file is rotated")
        return self


class RetainSettings(Block):
    """Which rotated files are kept; what is missing is no limit."""

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    for_: Annotated[float | None, BeforeValidator(seconds), AfterValidator(longer_than_nothing), Field(alias="for")] = (
        None
    )
    """How long a rotated file is kept. Without it for ever."""
    files: Annotated[int, Field(ge=1)] | None = None
    """How many rotated files are kept. Without it all."""


class AuditSettings(Block):
    """The file that one JSON line per decision is appended to, and what becomes of it."""

    path: Path
    """The file that one line per decision is appended to. Several servers on one machine may share it."""
    keep: KeepSettings = KeepSettings()
    """What is recorded in the clear on top of the defaults. All else is masked, since records live longer than
    requests."""
    rotate: RotateSettings | None = None
    """When a new file begins. Without it the file grows until the disk is full."""
    retain: RetainSettings | None = None
    """Which rotated files are kept. Without it all."""
    when_full: Literal["deny", "go-on"] = "go-on"
    """What becomes of decisions while the file can't be written: they `go-on` and records may be lost, or all are
    denied with 503 (`deny`)."""

    @model_validator(mode="after")
    def _retains_what_it_rotates(self) -> Self:
        if self.retain is not None and self.rotate is None:
            raise ValueError("`retain` is about rotated files; say with `rotate` when that is")
        return self
