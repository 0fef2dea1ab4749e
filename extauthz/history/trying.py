"""One recorded request against a draft of policies, in a process of its own that may take only so much.

The rule: whatever is in a draft, the process is bounded in time and memory, and what it says is a value or nothing.
"""

import os
import pickle
import resource
import sys
from typing import Final, NamedTuple

import msgspec

from extauthz.history.deciding import Redecider, Undecidable
from extauthz.history.recorded import Recorded, is_decidable
from extauthz.policy.declared import Declared
from extauthz.policy.load import load_text
from extauthz.policy.problems import PolicyErrors
from extauthz.record.audit_line import DecisionLine, RuleLine
from extauthz.record.decision import DECISION_NAMES

DRAFT: Final = "draft.yaml"
"""What problems call what was pasted."""
_NICENESS: Final = 10


class Limits(NamedTuple):
    """What a process may take: seconds of processor time, bytes of address space."""

    seconds: int
    memory: int


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a draft would decide. `problems` are those of a draft that is none; `missing` names what the record does not
    have, without which it can't be said; with either there is no decision."""

    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    decision: str = ""
    reason: str = ""
    rule: str | None = None
    rules: tuple[RuleLine, ...] = ()


def tried(text: str, line: DecisionLine, declared: Declared) -> Tried:
    """What the policies in `text` say to the request of `line`; `declared` is what the settings say that they may
    read."""
    try:
        policies = load_text(text, DRAFT, declared=declared)
    except PolicyErrors as errors:
        return Tried(problems=tuple(str(problem) for problem in errors.problems))
    if not is_decidable(line):
        return Tried(missing=("a request that reached the policies",))
    outcome = Redecider(policies).decide(Recorded(line))
    if isinstance(outcome, Undecidable):
        return Tried(missing=outcome.missing)
    decision = outcome.decision
    return Tried(
        decision=DECISION_NAMES[type(decision)],
        reason=decision.reason,
        rule=decision.rule,
        rules=tuple(
            RuleLine(rule=one.rule, effect=one.effect, mode=one.mode, result=one.result, error=one.error)
            for one in outcome.rules
        ),
    )


def main() -> None:
    """What the process does: limits, text, line and what is declared come as one pickle, what was found leaves as
    JSON."""
    os.nice(_NICENESS)  # decisions come first
    limits, text, line, declared = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our parent, over a pipe
    resource.setrlimit(resource.RLIMIT_CPU, (limits.seconds, limits.seconds))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    sys.stdout.buffer.write(msgspec.json.encode(tried(text, msgspec.json.decode(line, type=DecisionLine), declared)))
