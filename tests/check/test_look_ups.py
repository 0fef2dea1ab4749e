"""What a decision asks of the store: once for all rules together, and nothing where no candidate needs it."""

from collections import Counter
from collections.abc import Sequence

import pytest
from checking import Bench

from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Found, Store
from extauthz.values.facts import Question
from extauthz.values.identity import Subject


class Counting(MemoryStore):
    """A store that counts the look-ups."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[Subject] = Counter()

    async def look_up(
        self,
        subject: Subject | None,
        session: str | None,
        *,
        fingerprint: str,
        now: float,
        questions: Sequence[Question] = (),
    ) -> Found:
        assert subject is not None
        self.asked[subject] += 1
        return await super().look_up(subject, session, fingerprint=fingerprint, now=now, questions=questions)


@pytest.fixture
def store() -> Store:
    return Counting()


@pytest.mark.parametrize(
    ("path", "reason", "times"),
    [
        ("/pay?amount=5000&once=1", "proof-required", 1),  # two challenges match
        ("/pay?amount=5000", "proof-required", 1),
        ("/pay?amount=5", "allowed", 1),  # candidates that could ask; conditions are not looked at before
        ("/health", "allowed", 0),
        ("/crash?by=0", "policy-error", 0),
        ("/other", "no-rule-allows", 0),
        ("/pay//x", "malformed-path", 0),
    ],
)
def test_the_store_is_asked_once_for_all_candidates_and_not_at_all_for_none_that_needs_it(
    bench: Bench, path: str, reason: str, times: int
) -> None:
    headers = {"authorization": f"Bearer {bench.token()}"}
    assert bench.decision(bench.request(path, headers=headers, body=b""))[1] == reason
    assert isinstance(bench.store, Counting)
    assert bench.store.asked.total() == times


def test_nobody_is_looked_up(bench: Bench) -> None:
    assert bench.decision(bench.request("/pay?amount=5000"))[1] == "no-rule-allows"
    assert isinstance(bench.store, Counting)
    assert not bench.store.asked
