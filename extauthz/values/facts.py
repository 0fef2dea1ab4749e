"""What conditions may read beyond the request and its caller: what is known here, and what must be asked for.

The rule kept here: what must be asked for is a `Question`, known before the look-up; one that has no answer was not or
could not be fetched, which is not the same as absent.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from extauthz.values.approvals import Requesters
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, RequestView
from extauthz.values.signals import Reports

Kind = Literal["rate", "seen", "baseline", "place", "raised"]
"""What a question is about; `docs/risk.md` tells what each of them means."""


class Question(NamedTuple):
    """Something to look up, with all that its answer depends on beside the subject.

    `rate`: a key, and a window in seconds. `seen`: a key. `baseline`: the name of a number, and a key. `raised`: the
    name of a risk model. `place` has no arguments.
    """

    kind: Kind
    args: tuple[str | float, ...] = ()


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """What is known in this process, each looked into when a condition first reads it.

    `geo` gives what is known of a client's address, or `None` where nobody knows whether anything is; it is `None`
    without a database. `addresses` are sets of addresses from files, by name: whether one is in it. `device` tells of
    the device that a request proves to come from at a time (seconds since the epoch): whether it is `known` for its
    caller, and where there are some its `id` and its `age` (seconds). `reported` tells what others say. `requesters`
    tells who of a caller's chain is which person, or `None` where somebody in it is a person whom nobody can name.
    """

    geo: Callable[[str], Mapping[str, Any] | None] | None = None
    addresses: Mapping[str, Callable[[str], bool]] = EMPTY
    device: Callable[[RequestView, Identity, float], Mapping[str, Any]] | None = None
    reported: Reports | None = None
    requesters: Callable[[Identity], Requesters | None] | None = None


NO_LOCAL = Local()


class LastPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the last request of a subject came from that was allowed: degrees, and how sure they are (a radius).

    `at` is when, in seconds since the epoch.
    """

    latitude: float
    longitude: float
    accuracy_km: float = 0.0
    at: float
