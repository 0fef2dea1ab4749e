"""What the event stream tells of, and who wants which of it.

The rules kept here: what is allowed is no event, and the audit's own events are none. A pattern that means nothing is
refused: whoever writes it believes that they are told.

Pure: records come in, and nothing is looked up.
"""

from collections.abc import Iterable
from typing import Final, Literal, Self, get_args

import msgspec

from extauthz.policy.problems import did_you_mean
from extauthz.policy.rule_patterns import rule_pattern
from extauthz.record.brief import Brief, Decided
from extauthz.record.decision import DECISION_NAMES
from extauthz.record.keeping import Record
from extauthz.record.life import LifeKind, LifeRecord
from extauthz.values.decisions import Allow, Challenge, Hold

DecisionKind = Literal["decision.deny", "decision.challenge", "decision.hold"]
EventKind = DecisionKind | LifeKind

KINDS: Final[tuple[EventKind, ...]] = (
    *get_args(DecisionKind),
    *(kind for kind in get_args(LifeKind) if not kind.startswith("audit.")),
)
"""All that can be told of."""

_LIFE: Final[frozenset[str]] = frozenset(KINDS)
_DECISIONS: Final[dict[type, DecisionKind]] = {
    kind: name
    for kind, decision in DECISION_NAMES.items()
    for name in get_args(DecisionKind)
    if name == f"decision.{decision}"
}


class Happening(msgspec.Struct, frozen=True, gc=False):
    """What a record tells of. `rule` is the one that it is counted under, `rules` are all that it is about; `reason` is
    why, where there is no rule; `at_ns` is when, in nanoseconds since the epoch."""

    kind: EventKind
    rule: str
    rules: tuple[str, ...]
    reason: str
    at_ns: int
    decision_id: str


def happening_of(record: Record) -> Happening | None:
    """What a record tells of; `None` for what is no event."""
    if isinstance(record, LifeRecord):
        if record.kind not in _LIFE:
            return None
        rule, others = record.rule or "", record.details.get("rules", ())
        listed = tuple(one for one in others if one != rule) if isinstance(others, tuple) else ()
        rules = (rule, *listed) if rule else listed
        return Happening(record.kind, rule, rules, "", record.at_ns, record.decision_id or "")
    return _decided(record)


def _decided(record: Decided) -> Happening | None:
    decision = record.reasoning.decision if isinstance(record, Brief) else record.decision
    if isinstance(decision, Allow):
        return None
    rule = decision.rule or ""
    rules: tuple[str, ...] = (rule,) if rule else ()
    if isinstance(decision, Challenge | Hold):
        rules += tuple(demand.rule for demand in decision.demands if demand.rule != rule)
    reason = "" if rule else decision.reason
    return Happening(_DECISIONS[type(decision)], rule, rules, reason, record.ended_ns, record.decision_id)


def kinds_like(pattern: str) -> frozenset[EventKind]:
    """What a pattern means: a kind, all of a family (`factor.*`), or all (`*`).

    Raises:
        ValueError: nothing; the message says what there is.
    """
    family = pattern.removesuffix("*")
    if pattern == "*" or (pattern.endswith(".*") and any(kind.startswith(family) for kind in KINDS)):
        return frozenset(kind for kind in KINDS if kind.startswith(family))
    found = frozenset(kind for kind in KINDS if kind == pattern)
    if found:
        return found
    families = dict.fromkeys(f"{kind.partition('.')[0]}.*" for kind in KINDS)
    meant = did_you_mean(pattern, [*KINDS, *families]) or f"write one of {', '.join(families)}, or `*`"
    raise ValueError(f"no event is called `{pattern}`; {meant}")


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to be told of: these kinds, of `rules`, of those of `policies`, or, where both are `None`, of
    all and of what has no rule."""

    kinds: frozenset[EventKind]
    rules: frozenset[str] | None = None
    policies: frozenset[str] = frozenset()

    @classmethod
    def of(cls, kinds: Iterable[str], rules: Iterable[str] | None) -> Self:
        """That of patterns. Raises `ValueError` for one that means nothing."""
        wanted: frozenset[EventKind] = frozenset().union(*map(kinds_like, kinds))
        if rules is None:
            return cls(kinds=wanted)
        named = frozenset(map(rule_pattern, rules))
        whole = frozenset(name.removesuffix("/*") for name in named if name.endswith("/*"))
        return cls(kinds=wanted, rules=named, policies=whole)

    def takes(self, happening: Happening) -> bool:
        """Whether this is wanted."""
        if happening.kind not in self.kinds:
            return False
        named = self.rules
        if named is None:
            return True
        return any(rule in named or rule.partition("/")[0] in self.policies for rule in happening.rules)
