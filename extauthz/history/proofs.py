"""Which challenges a recorded caller had met: what the record says of proofs, and what it leaves open.

The rule kept here: a proof counts if the record shows it, and is missing if the record shows that it was asked for or
that this session was never asked for it before. Anything between is unknown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from extauthz.history.recorded import HOLDER, Recorded
from extauthz.record.audit_line import DecisionLine
from extauthz.stepup.factors import proven_amr
from extauthz.values.decisions import ChallengeDemand
from extauthz.values.grants import Grant

_SESSION = "session"
_ANYTHING = ""


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

    def _was_asked(self, line: DecisionLine, rule: str) -> bool:
        session = line.identity.session if line.identity is not None else None
        return session is not None and (session, rule) in self._asked


def _met(line: DecisionLine) -> frozenset[str]:
    """The challenges of which the record shows that they were met: without that it would not have come so far."""
    if line.decision == "deny":
        return frozenset()
    matching = {
        one.rule for one in line.rules if one.effect == "challenge" and one.mode == "enforce" and one.result == "match"
    }
    return frozenset(matching.difference(line.demands if line.decision == "challenge" else ()))


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
