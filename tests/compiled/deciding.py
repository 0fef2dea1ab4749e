"""What one package makes of the same Checks, decisions and headers, in a process of its own (`test_compiled_alike`).

    python tests/compiled/deciding.py PACKAGE QUESTIONS ANSWERS

PACKAGE is the folder that `extauthz` must come from. Nothing that comes out depends on a clock, on chance or on a place
in memory.
"""

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from briefs import brief_of
from changing import fields_of, replace
from described import descriptors
from fuzz.target import Target
from policy.making import Document, compiled, evaluate
from wire.answers import BOTH

from extauthz import __file__ as installed
from extauthz.app import portable
from extauthz.policy.policy_set import PolicySet
from extauthz.record.decision import DecisionRecord
from extauthz.record.line_encoder import LineEncoder
from extauthz.record.masking import Keep
from extauthz.values.decisions import ChallengeOffer, Decision
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView
from extauthz.wire.encode import encode_failure, say
from extauthz.wire.header_entries import Form, Usual, read
from extauthz.wire.messages import MessageTypes
from extauthz.wire.path import ACCEPTABLE
from extauthz.wire.reading import STRICT, Reading

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")

Case = tuple[RequestView, Identity, Facts, float]
Question = (
    tuple[Literal["check"], str, bytes]
    | tuple[Literal["rules"], tuple[Document, ...], tuple[Case, ...]]
    | tuple[Literal["say"], Decision, RequestView | None, str, frozenset[str], ChallengeOffer | None]
    | tuple[Literal["headers"], str, tuple[tuple[bytes, ...], ...]]
)
"""Bytes as a Check, read in one of `READINGS`; policies, and what is asked of them one after the other; a decision, and
what is said of it; entries of headers in one of the forms, as they follow each other on a connection."""

READINGS: Mapping[str, Reading] = {
    "strict": STRICT,
    "relaxed": Reading(accept=ACCEPTABLE, buffered=True, messages=MessageTypes.of(descriptors(), "bank.pb")),
}


class Decider:
    """Answers questions; what it remembers of those before stays."""

    def __init__(self) -> None:
        self._targets = {name: Target(reading=reading) for name, reading in READINGS.items()}
        self._encoder = LineEncoder(Keep())

    def answers(self, question: Question) -> Iterator[str]:
        """All that comes of it; of what fails, how."""
        match question:
            case "check", reading, payload:
                yield from self._checked(self._targets[reading], payload)
            case "rules", documents, cases:
                policies = compiled(*documents)
                for case in cases:
                    yield from _ruled(policies, case)
            case "say", decision, request, decision_id, settable, offer:
                answer = partial(say, decision, request=request, decision_id=decision_id, revision="r", offer=offer)
                yield _outcome(lambda: answer(settable=settable))
                yield _outcome(lambda: answer(settable=settable, schemes=BOTH))
                yield _outcome(lambda: encode_failure(decision_id))
            case "headers", form, connection:
                usual = Usual()
                for entries in connection:
                    yield _outcome(partial(read, list(entries), Form[form], usual))

    def _checked(self, target: Target, payload: bytes) -> Iterator[str]:
        answer, record = target.said(payload)
        yield repr(answer)
        record = _in_order(record)
        if record.request is not None and record.request.http is not None:
            yield _outcome(lambda: self._encoder.encode(brief_of(record)))
        yield _ADDRESS.sub("", repr(replace(record, request=None)))
        yield _ADDRESS.sub("", repr(_said(record.request)))


def _in_order(record: DecisionRecord) -> DecisionRecord:
    """The same with an order in what was a map of protobuf, which has one of its own in each process."""
    request, identity = record.request, record.identity
    if request is not None:
        maps = {name: _sorted(getattr(request, name)) for name in ("context", "metadata", "route_metadata")}
        record = replace(record, request=replace(request, messages=None, **maps))
    if identity is not None and identity.user is not None:
        user = dataclasses.replace(identity.user, claims=_sorted(identity.user.claims))
        record = replace(record, identity=replace(identity, user=user))
    return record


def _said(request: RequestView | None) -> object:
    """All that is in a view of a request, which shows nothing of it by itself."""
    if request is None:
        return None
    ends = {name: fields_of(getattr(request, name)) for name in ("source", "destination")}
    return fields_of(request) | ends | {"http": None if request.http is None else fields_of(request.http)}


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def _ruled(policies: PolicySet, case: Case) -> Iterator[str]:
    request, identity, facts, now = case
    found: list[Any] = []
    yield _outcome(lambda: found.append(evaluate(policies, request, identity, facts=facts, now=now)))
    for evaluation in found:
        yield _ADDRESS.sub("", repr(evaluation))
        for asked in (request, None):
            yield _outcome(
                partial(
                    say,
                    evaluation.decision,
                    request=asked,
                    decision_id="d-1",
                    revision=policies.revision,
                    settable=policies.settable_headers,
                )
            )


def _outcome(function: Callable[[], object]) -> str:
    try:
        return repr(function())
    except Exception as error:  # noqa: BLE001 - that is one, too
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Answer what is asked."""
    package, questions, answers = map(Path, sys.argv[1:])
    assert Path(installed).parent.parent == package, installed
    decider = Decider()
    with questions.open("rb") as stream:
        asked: list[Question] = portable.read(stream, lambda: None)
    with answers.open("wb") as stream:
        portable.write(stream, [list(decider.answers(one)) for one in asked])


if __name__ == "__main__":
    main()
