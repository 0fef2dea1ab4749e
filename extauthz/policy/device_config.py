"""The `devices:` block of extauthz.yaml: by what a device is known.

The rule: a header that clients could write themselves names no device; it counts from the gateways alone that are
listed.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from extauthz.policy.field_types import Duration
from extauthz.policy.workloads import WorkloadPattern, parse
from extauthz.values.block import Block

_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")
_LEAST, _MOST = 3600.0, 400 * 86_400.0


def _header_name(name: str) -> str:
    if _NAME.fullmatch(name.lower()) is None:
        raise ValueError("is no name of a header; write one like `x-device-id`")
    return name.lower()


def _pattern(text: str) -> str:
    parse(text)
    return text


def _lifetime(seconds: float) -> float:
    # Browsers keep no cookie for longer than 400 days (RFC 6265bis section 5.5).
    if not _LEAST <= seconds <= _MOST:
        raise ValueError("not between an hour and 400 days; write `90d`")
    return seconds


class DeviceHeader(Block):
    """A header in which gateways name the device."""

    name: Annotated[str, AfterValidator(_header_name)]
    """The name of the header. Gateways must remove it from what clients send."""
    from_: tuple[Annotated[str, AfterValidator(_pattern)], ...] = Field(alias="from", min_length=1)
    """The workloads that are believed, as SPIFFE patterns. From all others the header counts for nothing."""

    @property
    def gateways(self) -> tuple[WorkloadPattern, ...]:
        """The workloads that are believed."""
        return tuple(map(parse, self.from_))


class DeviceSettings(Block):
    """By what a device is known."""

    lifetime: Annotated[Duration, AfterValidator(_lifetime)] = 90 * 86_400.0
    """How long a device is known after the last challenge that was met on it, from `1h` to `400d`, the longest that
    browsers keep a cookie."""
    header: DeviceHeader | None = None
    """The header in which gateways name devices. Without it devices are known by a cookie alone."""

    @property
    def telling_headers(self) -> frozenset[str]:
        """The lower-case names of the headers that name devices, beside the cookie."""
        return frozenset() if self.header is None else frozenset({self.header.name})
