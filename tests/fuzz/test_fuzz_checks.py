"""Any bytes as a Check: an explicit answer, and never an allow that a second reading would not give.

`make fuzz` runs the same with many more examples.
"""

from collections import Counter
from collections.abc import Iterator

import pytest
from fuzz.generated import ROUTES, hostile_plans, payload_of, tcp_payloads, valid_payloads, valid_plans
from fuzz.mutation import mutated
from fuzz.reference import READERS, UnreadableError, amounts, verdict_of
from fuzz.target import DOCUMENTS, Answered, Target, bounded
from hypothesis import event, given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    built = Target()
    yield built
    built.close()


def judged(target: Target, payload: bytes) -> Answered:
    """The answer; an allow is one by every reader, and by what they find in its body."""
    answered = target.answer(payload)
    event(answered.reason)
    if answered.allows:
        for reader in READERS:
            try:
                verdict = verdict_of(payload, reader, target.binding_key)
            except UnreadableError:
                pytest.fail(f"allowed by `{answered.rule}`; the reader `{reader.name}` can't read it: {payload!r}")
            assert (verdict.decision, verdict.rule) == ("allow", answered.rule), (reader.name, payload)
        assert answered.rule is not None
        assert all(amount <= 10 for amount in amounts(answered.rule, payload)), payload
    return answered


@given(st.binary(max_size=200))
@bounded(100)
def test_no_bytes_are_answered_with_anything_but_an_explicit_answer(target: Target, payload: bytes) -> None:
    judged(target, payload)


@given(mutated())
@bounded(300)
def test_no_bytes_that_were_a_check_are_allowed_where_a_second_reader_would_not(target: Target, payload: bytes) -> None:
    judged(target, payload)


@given(hostile_plans().map(payload_of))
@bounded(300)
def test_no_hostile_request_is_allowed_where_a_second_reader_would_not(target: Target, payload: bytes) -> None:
    judged(target, payload)


@given(valid_payloads)
@bounded(200)
def test_every_honest_request_is_decided_as_the_oracle_decides_it(target: Target, payload: bytes) -> None:
    answered = judged(target, payload)
    verdict = verdict_of(payload, READERS[0], target.binding_key)
    assert (answered.allows, answered.rule) == (verdict.decision == "allow", verdict.rule)


def test_every_rule_that_can_allow_is_reached(target: Target) -> None:
    """So that what is said above is said of allows, too."""
    reached = Counter[str | None]()
    for requests in (tcp_payloads, *(valid_plans(to=route).map(payload_of) for route in ROUTES)):

        @given(requests)
        @settings(bounded(15), max_examples=15, derandomize=True)
        def look(payload: bytes) -> None:
            reached[target.answer(payload).rule] += 1

        look()
    rules = [
        f"{document['metadata']['name']}/{rule['name']}" for document in DOCUMENTS for rule in document["spec"]["rules"]
    ]
    # `app/pay` asks for a proof, and nobody has given one; for `app/call` nobody has described the messages.
    assert {rule for rule in rules if not reached[rule]} == {"app/pay", "app/call"}
