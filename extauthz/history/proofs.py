"""Which challenges and approves a recorded caller had met: what the record says of proofs, and what it leaves open.

The rule kept here: a proof counts if the record shows it, and is missing if the record shows that it was asked for or
that this session was never asked for it before. Anything between is unknown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from extauthz.history.recorded import HOLDER, Recorded
from extauthz.record.audit_line import DecisionLine, GrantLine, VoteLine
from extauthz.stepup.factors import proven_amr
from extauthz.values.approvals import APPROVAL_FACTOR, Approved, Approver, BreakGlass, Proof, Vote
from extauthz.values.decisions import ApprovalDemand, ChallengeDemand, Effect
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

_SESSION = "session"
_ANYTHING = ""
ENDED: Final = frozenset(
    {"approval-cancelled", "approval-denied", "approval-expired", "break-glass-needs-reason", "break-glass-refused"}
)
"""The reasons of denials that come of a hold: then the approval was asked for, and not given."""


class Unknown(Exception):
    """The record does not say whether the proof for a rule was there; the message names the rule."""


@dataclass(slots=True)
class Proofs:
    """What the records so far tell of who was asked for which proof."""

    _asked: set[tuple[str, str]] = field(default_factory=set)

    def note(self, line: DecisionLine) -> None:
        """Learn from a record: whom it asks for a proof, and who has given one."""
        session = line.identity.session if line.identity is not None else None
        if session is None or not (line.demands or line.grants):
            return
        self._asked.add((session, _ANYTHING))
        self._asked.update((session, rule) for rule in line.demands)
        self._asked.update((session, grant.rule) for grant in line.grants)

    def grants(
        self, recorded: Recorded, demands: Sequence[ChallengeDemand], unchanged: frozenset[str]
    ) -> tuple[Grant, ...]:
        """The proofs for `demands` that the caller had, as facts for deciding again.

        `unchanged` are the rules that are as they were. Raises `Unknown`.
        """
        return tuple(grant for demand in demands for grant in self._given(recorded, demand, demand.rule in unchanged))

    def _given(self, recorded: Recorded, demand: ChallengeDemand, unchanged: bool) -> Iterator[Grant]:
        line, bind = recorded.line, demand.binding.partition(":")[0]
        if demand.rule in line.demands:
            return
        told = demand.rule in _met(line)
        found = False
        for grant in line.grants:
            if grant.approval is not None:
                continue
            is_its = grant.bind == _SESSION or (told and grant.rule == demand.rule)
            # A changed scope may be another one: its values are in the grant as a keyed hash only.
            if is_its and grant.bind == bind and (bind != "scope" or unchanged):
                found = True
                yield _grant(recorded, demand, grant.factor, grant.age_s)
        if found:
            return
        if told and unchanged:
            yield _grant(recorded, demand, proven_amr(demand.factors[0], acr=demand.acr), 0.0)
        elif told or self._was_asked(line, demand.rule if bind != _SESSION else _ANYTHING):
            raise Unknown(demand.rule)

    def approved(
        self,
        recorded: Recorded,
        demands: Sequence[ApprovalDemand],
        unchanged: frozenset[str],
        conditional: frozenset[str],
    ) -> tuple[tuple[Grant, ...], frozenset[str]]:
        """The approvals for `demands` that the caller had, to be counted by the rules of now; and the rules that are as
        they were and were approved, which need no counting.

        `conditional` are the rules that take approvers by their claims, which are not recorded. Raises `Unknown`.
        """
        grants: list[Grant] = []
        settled: set[str] = set()
        line = recorded.line
        for demand in demands:
            bind = demand.binding.partition(":")[0]
            was_met = line.decision == "allow" and demand.rule in _matching(line, "approve")
            if demand.rule in line.demands or line.reason in ENDED:
                continue
            if was_met and demand.rule in unchanged:
                settled.add(demand.rule)
                continue
            # What a changed rule binds to may be something else: that is in the grant as a keyed hash only.
            given = [
                _approval(recorded, demand, grant)
                for grant in line.grants
                if grant.approval is not None
                and grant.bind == bind
                and (bind == _SESSION or (grant.rule == demand.rule and bind == "action"))
            ]
            grants += given
            if given and demand.rule in conditional:
                raise Unknown(demand.rule)
            if not given and (was_met or self._was_asked(line, demand.rule if bind != _SESSION else _ANYTHING)):
                raise Unknown(demand.rule)
        return tuple(grants), frozenset(settled)

    def _was_asked(self, line: DecisionLine, rule: str) -> bool:
        session = line.identity.session if line.identity is not None else None
        return session is not None and (session, rule) in self._asked


def _met(line: DecisionLine) -> frozenset[str]:
    """The challenges of which the record shows that they were met: without that it would not have come so far."""
    if line.decision == "deny":
        return frozenset()
    return _matching(line, "challenge").difference(line.demands if line.decision == "challenge" else ())


def _matching(line: DecisionLine, effect: Effect) -> frozenset[str]:
    return frozenset(
        one.rule for one in line.rules if one.effect == effect and one.mode == "enforce" and one.result == "match"
    )


def _approval(recorded: Recorded, demand: ApprovalDemand, grant: GrantLine) -> Grant:
    """The grant of a recorded approval. Raises `Unknown` where it can't be counted by what the record holds."""
    line, caller = grant.approval, demand.requesters.caller
    if line is None or (line.break_glass is not None and caller is None):
        raise Unknown(demand.rule)
    given_at, glass = recorded.now - grant.age_s, line.break_glass
    by = Approver(subject=demand.subject, person=caller or "")
    return Grant(
        id=line.id,
        subject=demand.subject,
        session=demand.session,
        holder=HOLDER,
        binding=demand.binding,
        factor=APPROVAL_FACTOR,
        issued_at=given_at,
        expires_at=recorded.now + 1.0,
        uses=grant.uses,
        approval=Approved(
            id=line.id,
            opened_at=given_at,
            votes=tuple(_vote(one, given_at) for one in line.votes),
            break_glass=None
            if glass is None
            else BreakGlass(by=by, reason=glass.reason, proof=Proof(factor=glass.factor, at=given_at), at=given_at),
        ),
    )


def _vote(line: VoteLine, opened_at: float) -> Vote:
    at, absent = opened_at + line.after_s, line.in_place_of
    return Vote(
        approver=_approver(line),
        stance="approve",
        at=at,
        proof=Proof(factor=line.factor, at=at - line.proof_age_s) if line.factor else None,
        in_place_of=None if absent is None else _approver(absent),
    )


def _approver(line: VoteLine) -> Approver:
    return Approver(subject=Subject(line.iss, line.sub), person=line.person, groups=frozenset(line.groups))


def _grant(recorded: Recorded, demand: ChallengeDemand, factor: str, age: float) -> Grant:
    subject = recorded.identity.subject
    if subject is None:
        raise Unknown(demand.rule)
    return Grant(
        id=f"{demand.rule}/{factor}/{age}",
        subject=subject,
        session=recorded.identity.session or "",
        holder=HOLDER,
        binding=demand.binding,
        factor=factor,
        issued_at=recorded.now - age,
        expires_at=recorded.now + 1.0,
    )
