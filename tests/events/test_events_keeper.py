"""From records to letters: each of who wants to be told gets what they want, once, and the rest as counts."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from events.event_parts import AT, decided, denied, lived
from hypothesis import given
from hypothesis import strategies as st

from extauthz.record.brief import in_full
from extauthz.record.event_form import EventForm
from extauthz.record.event_types import Selection
from extauthz.record.events import Events, Listener
from extauthz.record.keeping import Record
from extauthz.record.life import LifeRecord
from extauthz.values.decisions import Allow
from extauthz.values.letters import Letter
from extauthz.values.rate import Rate

RATE = Rate(most=10, seconds=60.0)
records = st.sampled_from(
    [
        denied(),
        denied("payments/limit"),
        denied(rule=None),
        decided(Allow(rule="payments/shop")),
        lived(),
        lived(kind="grant.used"),
    ]
)


class Desk:
    """Keeps what is posted; the time goes on when a test says so."""

    def __init__(self, *listeners: Listener) -> None:
        self.now = 0.0
        self.letters: list[Letter] = []
        self.events = Events(listeners, EventForm(), writer="00ff", post=self.letters.extend, clock=lambda: self.now)

    def told(self, sink: str = "siem") -> list[dict[str, Any]]:
        return [json.loads(letter.content) for letter in self.letters if letter.sink == sink]


def listener(sink: str = "siem", *kinds: str, rules: Sequence[str] | None = None, rate: Rate = RATE) -> Listener:
    return Listener(sink=sink, selection=Selection.of(kinds or ("*",), rules), rate=rate)


def test_each_listener_gets_what_it_wants_under_one_id() -> None:
    desk = Desk(listener(), listener("chat", "decision.deny", rules=["payments/*"]), listener("other", "keys.*"))
    desk.events.keep([denied(), denied("exports/all"), lived()])
    assert [one["type"] for one in desk.told()] == [
        "extauthz.v1.decision.deny",
        "extauthz.v1.decision.deny",
        "extauthz.v1.subject.blocked",
    ]
    (chat,) = desk.told("chat")
    assert chat == desk.told()[0]
    assert desk.told("other") == []
    first, second = (letter for letter in desk.letters if letter.event == "evt-00ff-1")
    assert (first.sink, second.sink) == ("siem", "chat")
    assert first.id != second.id
    assert first.kind == "decision.deny"
    assert first.at == AT / 1e9


def test_a_flood_is_few_letters_and_a_right_count() -> None:
    desk = Desk(listener())
    for start in range(0, 10_000, 50):
        desk.now += 0.01
        desk.events.keep([denied(decision_id=f"dec-{start + number}", at=AT + start + number) for number in range(50)])
    assert len(desk.letters) == RATE.most
    assert desk.events.folded == {"siem": 10_000 - RATE.most}
    desk.now += 60
    desk.events.keep(())
    *_, last = desk.told()
    assert len(desk.letters) == RATE.most + 1
    assert last["type"] == "extauthz.v1.events.folded"
    assert last["data"]["count"] == 10_000 - RATE.most
    assert last["data"]["example"] == f"dec-{RATE.most}"
    assert last["data"]["from"] == "2026-11-22T10:00:00.000000010Z"
    assert last["data"]["until"] == "2026-11-22T10:00:00.000009999Z"
    desk.events.keep([denied()])
    assert desk.told()[-1]["type"] == "extauthz.v1.decision.deny", "a new time has begun"


@given(st.lists(st.tuples(st.floats(0, 40), st.lists(records, max_size=30)), max_size=20))
def test_letters_and_counts_are_together_all_events(batches: list[tuple[float, list[Record]]]) -> None:
    desk = Desk(listener(rate=Rate(most=2, seconds=30.0)))
    there: Counter[str] = Counter()
    for passed, batch in batches:
        desk.now += passed
        desk.events.keep(batch)
        there.update(
            f"extauthz.v1.{one.kind}" if isinstance(one, LifeRecord) else "extauthz.v1.decision.deny"
            for one in batch
            if isinstance(one, LifeRecord) or not isinstance(in_full(one).decision, Allow)
        )
    desk.events.close()
    told: Counter[str] = Counter()
    for event in desk.told():
        if event["type"] == "extauthz.v1.events.folded":
            told[event["data"]["type"]] += event["data"]["count"]
        else:
            told[event["type"]] += 1
    assert told == there
    assert len({letter.id for letter in desk.letters}) == len(desk.letters)
    assert len({letter.event for letter in desk.letters}) == len(desk.letters)


def test_what_is_counted_is_told_at_the_end() -> None:
    desk = Desk(listener(rate=Rate(most=1, seconds=3600.0)), listener("chat", "grant.*"))
    desk.events.keep([denied(), denied(), denied()])
    desk.events.close()
    assert [one["data"].get("count") for one in desk.told()] == [None, 2]
    assert desk.told("chat") == []


def test_a_record_that_can_not_be_told_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(listener())
    whole = EventForm.event

    def fails_once(form: EventForm, record: Record, *rest: Any) -> bytes:
        if isinstance(record, LifeRecord):
            raise RecursionError
        return whole(form, record, *rest)

    monkeypatch.setattr(EventForm, "event", fails_once)
    desk.events.keep([lived(), denied()])
    assert [one["type"] for one in desk.told()] == ["extauthz.v1.decision.deny"]


def test_nothing_is_posted_where_there_is_nothing() -> None:
    posted: list[Sequence[Letter]] = []
    events = Events([listener()], EventForm(), writer="0", post=posted.append, clock=lambda: 0.0)
    events.keep([decided(Allow(rule="a/b"))])
    events.keep(())
    events.close()
    assert posted == []
