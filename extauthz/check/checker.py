"""The pipeline of a Check. Every way a request becomes allowed is in this file, or in `finishing`.

`start` runs in the caller's thread and does no I/O: it answers at once when the candidate rules need no look-up.
Otherwise it returns an open case, and `finish` asks who must be asked to know the caller, does the look-up, proves a
one-time code that came along, asks for approvals, and uses up the grants that an allow rests on. Both end in the bytes
of an explicit answer, whatever happens; or in a call that is held, which `resume` begins anew when its wait is over.
"""

from typing import Final

from extauthz.check.answering import Answering
from extauthz.check.case import Asked, Case, Remaining, Ruled
from extauthz.check.decision_ids import DecisionIds
from extauthz.check.finishing import Finishing
from extauthz.check.gathering import Gatherer
from extauthz.check.holding import Held, Holding
from extauthz.check.opened import OpenCase, Opened, Unidentified, Unrecorded
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.errors import Refused
from extauthz.policy.decide import recalled, worked_out
from extauthz.record.decision import Trace, Wait
from extauthz.values.decisions import Evaluation, denial
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView
from extauthz.wire.decode import decode

_RESERVED: Final = ".extauthz"
"""What the paths of our own pages begin with."""


def _no_deadline() -> None:
    """How long a caller still waits who has said nothing of it."""


class _Deciding:
    """What decides, with what each Check asks of it at hand."""

    def __init__(self, ruling: Ruling) -> None:
        self.ruling: Final = ruling
        self.reading: Final = ruling.reading
        self.resolver: Final = ruling.resolver
        self.returning: Final = ruling.resolver.returning
        self.recent: Final = ruling.policies.recent
        self.ruled: Final = Ruled(ruling.policies, ruling.resolver.schemes)
        self.policies: Final = ruling.policies
        self.facts: Final = ruling.facts

    def case(self, asked: Asked, request: RequestView | None = None, identity: Identity | None = None) -> Case:
        """A Check, as far as it is known."""
        return Case(asked, self.ruled, request, identity, self.facts)


class Checker:
    """Decides Checks. Safe to call from several threads; `finish` belongs to one event loop."""

    def __init__(self, ruling: Ruling, surroundings: Surroundings) -> None:
        self._deciding = _Deciding(ruling)
        self._around = surroundings
        self._clock = surroundings.clock
        self._keys = surroundings.keys
        self._gatherer = Gatherer(
            surroundings.store, surroundings.activities, surroundings.sources, surroundings.habits
        )
        self._revocations = surroundings.revocations
        self._answering = Answering(
            keys=surroundings.keys,
            tallies=surroundings.tallies,
            recorder=surroundings.recorder,
            spans=surroundings.spans,
            clock=surroundings.clock,
            entropy=surroundings.entropy,
        )
        self._finishing = Finishing(lambda: self.ruling, surroundings, self._gatherer, self._answering)
        self._ids = DecisionIds(surroundings.entropy(8).hex())

    @property
    def holding(self) -> Holding | None:
        """Where calls wait for approvals, `None` where none does."""
        return None if self._around.approving is None else self._around.approving.holding

    @property
    def ruling(self) -> Ruling:
        """What decides now."""
        return self._deciding.ruling

    def swap(self, ruling: Ruling) -> None:
        """Let the next Check be decided by `ruling`; those on their way keep what they began with."""
        self._deciding = _Deciding(ruling)
        self._answering.forget()

    def start(
        self, payload: bytes, trace: Trace = (), remaining: Remaining = _no_deadline, may_wait: bool = True
    ) -> bytes | Opened:
        """The answer to the CheckRequest in `payload`, or what `finish` needs to give it after a look-up.

        `trace` is the trace context in the metadata of the call, `remaining` tells how long its caller still waits. An
        answer that a rule requires a record of waits for that here, unless this thread is one that never `may_wait`.
        """
        asked = Asked(self._ids.new(), self._clock(), payload, remaining, trace)
        return self._begin(asked, may_wait)

    def resume(self, held: Held) -> bytes | Opened:
        """As `start`, for a call whose wait is over: it is decided anew, as if it came now.

        But a proof of possession is as old as it was when the call came, and it is the call itself that has used it.
        """
        asked, began_at, now = held.asked, held.asked.started_ns / 1e9, self._clock()
        asked = asked.but(
            started_ns=now,
            held_for=held.approvals,
            held_until=held.until,
            waits=(*asked.waits, Wait("hold", held.began_ns, now)),
            came_at=began_at if asked.came_at is None else asked.came_at,
        )
        return self._begin(asked, False)

    def _begin(self, asked: Asked, may_wait: bool) -> bytes | Opened:
        deciding, now = self._deciding, asked.started_ns / 1e9
        request: RequestView | None = None
        identity: Identity | None = None
        evaluation: Evaluation | None
        try:
            request = decode(asked.payload, deciding.reading)
            http = request.http
            # Our own pages are served where ext_authz is switched off: a Check that names them came around that.
            if http is not None and (segments := http.segments) and segments[0] == _RESERVED:
                evaluation = Evaluation(decision=denial("reserved-path"))
                return self._answering.answer(deciding.case(asked, request), evaluation)
            identity = None if asked.proofs else deciding.returning.again(request, now)
            if identity is None:
                known = deciding.resolver.identify(request, now, asked.came_at, asked.proofs)
                if not isinstance(known, Identity):
                    return Unidentified(deciding.case(asked, request), request, known)
                identity = known
            if self._revocations is not None:
                self._revocations.check(identity, now=now)
            case = deciding.case(asked, request, identity)
            candidates = None if http is None else deciding.recent.candidates(http, identity)
            if candidates is None:
                candidates = deciding.policies.candidates(request, identity)
            facts = deciding.facts
            if candidates.looks_up and (wanted := candidates.plan.needs).concern(identity):
                remembered = self._gatherer.at_once(wanted, request=request, identity=identity, local=facts, now=now)
                if remembered is None:
                    return OpenCase(case, request, identity, candidates)
                facts = remembered
                case = case.but(facts=facts)
            evaluation = recalled(candidates, request, now)
            if evaluation is None:
                evaluation = worked_out(candidates, request, identity, facts, now, self._keys.binding_keys)
            if not may_wait and evaluation.audit_required:
                return Unrecorded(case, evaluation)
            return self._answering.answer(case, evaluation)
        except Exception as error:  # noqa: BLE001 - every path ends in an explicit answer
            return self._answering.refuse(deciding.case(asked, request, identity), error)

    async def finish(self, opened: Opened, *, deadline: float | None) -> bytes | Held:
        """The answer to a Check that `start` left open, or the call as it waits for an approval: then `resume` it after
        `holding.wait`. `deadline` is that of the answer, on the monotonic clock.
        """
        return await self._finishing.complete(opened, deadline=deadline)

    def turn_away(self, error: Refused, *, trace: Trace = (), remaining: Remaining = _no_deadline) -> bytes:
        """The answer to a Check that is not even read, in the form that an empty one would get."""
        case = self._deciding.case(Asked(self._ids.new(), self._clock(), b"", remaining, trace))
        try:
            return self._answering.refuse_unread(case, error)
        except Exception as failure:  # noqa: BLE001 - every path ends in an explicit answer
            return self._answering.refuse(case, failure)

    def abandon(self, opened: Opened, error: Refused) -> bytes:
        """The answer to a Check whose `finish` can't be waited for."""
        return self._answering.refuse(opened.case, error)

    def let_go(self, held: Held, error: Refused) -> bytes:
        """The answer to a call that was held and is not to be decided any more."""
        return self._answering.refuse(self._deciding.case(held.asked), error)
