"""What a Checker is given: what decides, and the world outside of the core.

The rule kept here: what decides is one value, so that no decision sees half of two.
"""

from collections.abc import Callable
from dataclasses import dataclass

from extauthz.check.activity import Activities
from extauthz.check.approving import Approving
from extauthz.check.habits import Habits
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.resolver import Resolver
from extauthz.lookup.attributes.sources import AttributeSources
from extauthz.lookup.inquiries import NO_INQUIRIES, Inquiries
from extauthz.policy.policy_set import PolicySet
from extauthz.record.chronicle import Chronicle
from extauthz.record.decision import WallClock
from extauthz.record.keeping import Recorder
from extauthz.record.tallies import Tallies
from extauthz.record.tracing import SpanGiver
from extauthz.stepup.keys import KeyRing
from extauthz.store.protocol import Store
from extauthz.values.grants import NO_FACTS, Facts
from extauthz.wire.reading import STRICT, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What decides: swapped whole on a reload."""

    policies: PolicySet
    resolver: Resolver
    reading: Reading = STRICT
    facts: Facts = NO_FACTS
    """Those that need no look-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The world outside of the core.

    `clock` gives nanoseconds since the epoch, `monotonic` seconds, `entropy(n)` n random bytes. `tallies` is `None`
    where nothing is counted, `recorder` where nobody wants records, `spans` where decisions leave no spans,
    `revocations` where nobody can revoke anything.
    `inquiries` asks whoever must be asked to know a caller. `activities` is `None` where nobody remembers what sessions
    do, `habits` where nobody remembers what is usual, `sources` without attribute sources, `approving` where nobody can
    be asked for approvals.
    """

    clock: WallClock
    monotonic: Callable[[], float]
    entropy: Callable[[int], bytes]
    store: Store
    keys: KeyRing
    tallies: Tallies | None = None
    recorder: Recorder | None = None
    spans: SpanGiver | None = None
    inquiries: Inquiries = NO_INQUIRIES
    revocations: RevocationFeed | None = None
    activities: Activities | None = None
    sources: AttributeSources | None = None
    habits: Habits | None = None
    approving: Approving | None = None

    @property
    def chronicle(self) -> Chronicle:
        """Where what happens beside decisions is told."""
        return Chronicle(recorder=self.recorder, clock=self.clock, tallies=self.tallies)
