"""Traffic that is decided, recorded in a real audit file, and replayed."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from audit_journal import AuditJournal
from policy.making import NOW

from extauthz.history.reading import read
from extauthz.history.replay import Replay, Tally
from extauthz.policy.asking import NOTHING_ASKED, Inquiry
from extauthz.policy.policy_set import PolicySet
from extauthz.record.audit_line import DecisionLine
from extauthz.record.decision import DecisionRecord
from extauthz.record.masking import Keep, line_of
from extauthz.values.decisions import Evaluation
from extauthz.values.grants import NO_FACTS, Facts, SessionAges
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, RequestView

DEFAULTS = Keep()


def write(records: Iterable[DecisionRecord], path: Path, keep: Keep = DEFAULTS) -> Path:
    """An audit file of these decisions."""
    audit = AuditJournal(path, keep)
    for record in records:
        audit.record(record)
    audit.close()
    return path


def replayed(path: Path, policies: PolicySet, unchanged: Mapping[str, frozenset[str]] = EMPTY) -> Tally:
    """What a replay of the file by these policies finds."""
    replay = Replay(policies, unchanged=unchanged)
    for line in read(path):
        replay.take(line.content)
    return replay.tally


def recorded(
    evaluation: Evaluation,
    request: RequestView,
    identity: Identity,
    revision: str = "sha256:0",
    keep: Keep = DEFAULTS,
    session: SessionAges | None = None,
    inquiry: Inquiry = NOTHING_ASKED,
    facts: Facts = NO_FACTS,
) -> DecisionLine:
    """The line of a decision on these facts, the answers to the inquiry among them, as it comes back from a file."""
    record = DecisionRecord(
        decision_id="d",
        revision=revision,
        decision=evaluation.decision,
        rules=evaluation.rules,
        request=request,
        identity=identity,
        session=session,
        risk=evaluation.risk,
        views=evaluation.views,
        asked=inquiry.meanings,
        answers=facts.answers,
        started_ns=int(NOW) * 1_000_000_000,
        ended_ns=int(NOW) * 1_000_000_000,
    )
    written = msgspec.json.encode(line_of(record, keep))
    assert json.loads(written)
    return msgspec.json.decode(written, type=DecisionLine)
