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
    """A header in which gateways name the device, `from` these workloads (SPIFFE patterns) and from nobody else."""

    name: Annotated[str, AfterValidator(_header_name)]
    from_: tuple[Annotated[str, AfterValidator(_pattern)], ...] = Field(alias="from", min_length=1)

    @property
    def gateways(self) -> tuple[WorkloadPattern, ...]:
        """The workloads that are believed."""
        return tuple(map(parse, self.from_))


class DeviceSettings(Block):
    """`lifetime`: for how many seconds a device is known after the last challenge that was met on it. `header` is what
    gateways say of devices.
    """

    lifetime: Annotated[Duration, AfterValidator(_lifetime)] = 90 * 86_400.0
    header: DeviceHeader | None = None

    @property
    def telling_headers(self) -> frozenset[str]:
        """The lower-case names of the headers that name devices, beside the cookie."""
        return frozenset() if self.header is None else frozenset({self.header.name})
