"""What is usual costs no more than it may: round trips, slots, ends, room; and what can't be read is an outage."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path

import pytest
from redis.crc import key_slot
from redises import RedisProcess
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run

from extauthz.errors import StateUnavailable
from extauthz.store import memory_habits, redis_server
from extauthz.store.devices import ListedDevice
from extauthz.store.habits import BASELINE_SECONDS, DAY, SEEN_SECONDS, Habit, Number, Raised
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import CLOCK_SKEW, Store
from extauthz.store.redis_server import RedisServer
from extauthz.store.sqlite import SqliteStore
from extauthz.values.facts import LastPlace, Question
from extauthz.values.identity import Subject

Open = Callable[[str], Store]

AMOUNT = Question("baseline", ("p/amount", "alice"))
RATES = tuple(Question("rate", (f"key {number}", 60.0)) for number in range(5))
QUESTIONS = (*RATES, Question("seen", ("a",)), AMOUNT, Question("place"), Question("raised", ("default",)))
HABIT = Habit(
    subject=ALICE,
    at=NOW,
    seen=("a", "b"),
    numbers=(Number(AMOUNT, 5.0),),
    place=LastPlace(latitude=47.4, longitude=8.5, at=NOW),
    raised=(Raised("default", "far-away", NOW),),
)
DEVICE = ListedDevice(id="d1", subject=ALICE, first_at=NOW, proven_at=NOW, until=NOW + 90 * DAY)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis that a test may look into."""
    with RedisProcess(tmp_path / "redis").start() as running:
        yield running


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[RedisServer]:
    """The servers that were asked, in turn."""
    asked: list[RedisServer] = []
    exchange = RedisServer.exchange

    async def counted(server: RedisServer, commands: list[redis_server.Words]) -> list[redis_server.Reply]:
        asked.append(server)
        return await exchange(server, commands)

    monkeypatch.setattr(RedisServer, "exchange", counted)
    return asked


def fill(store: Store) -> None:
    run(store.look_up(ALICE, SESSION, questions=QUESTIONS, fingerprint="f", now=NOW))
    run(store.note_habits([HABIT]))
    run(store.put_device(DEVICE, now=NOW))


def test_whatever_is_asked_a_look_up_is_one_round_trip(
    own: RedisProcess, opened: Open, trips: list[RedisServer]
) -> None:
    store = opened(own.url)
    fill(store)
    del trips[:]
    found = run(store.look_up(ALICE, SESSION, questions=QUESTIONS, fingerprint="f", now=NOW))
    assert len(trips) == 1
    assert [found.answers[rate] for rate in RATES] == [2] * len(RATES)


def test_on_a_cluster_it_is_one_for_each_node_that_has_something(
    cluster: Sequence[RedisProcess], opened: Open, trips: list[RedisServer]
) -> None:
    store = opened(f"redis+cluster://127.0.0.1:{cluster[0].port}?prefix=trips")
    fill(store)
    del trips[:]
    run(store.look_up(ALICE, SESSION, questions=QUESTIONS, fingerprint="f", now=NOW))
    assert len(trips) == len(set(trips)) <= len(cluster)


def test_what_is_kept_of_a_subject_is_in_one_slot_and_all_of_it_ends(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)
    fill(store)
    with own.client() as client:
        keys = [key.decode() for key in client.scan_iter()]
        ends = {key: client.ttl(key) for key in keys}
        of_alice = [key for key in keys if ":{rate:" not in key]
        assert len({key_slot(key.encode()) for key in of_alice}) == 1
        assert {key.rpartition(":")[2] for key in of_alice} == {
            *("keys", "baselines", "ages", "place", "raised", "devices")
        }
        assert len({key_slot(key.encode()) for key in keys if ":{rate:" in key}) == len(RATES)
    assert all(0 < end <= BASELINE_SECONDS + CLOCK_SKEW for end in ends.values())
    assert all(end <= 2 * 60 + 3 for key, end in ends.items() if ":{rate:" in key)


def test_the_rights_that_the_page_on_state_names_are_enough(own: RedisProcess, opened: Open) -> None:
    rights = ["get", "set", "del", "exists", "expire", "ttl", "scan", "info", "@hash", "@sortedset", "eval", "evalsha"]
    with own.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~extauthz:*", *(f"+{one}" for one in rights))
    store = opened(own.url.replace("redis://", "redis://app:pw@"))
    fill(store)
    assert run(store.devices(None, now=NOW)) == (DEVICE,)


@pytest.mark.parametrize(
    ("key", "put"),
    [
        ("baselines", ("HSET", "no sketch")),
        ("place", ("SET", "nowhere")),
        ("devices", ("HSET", "no device")),
    ],
)
def test_what_can_not_be_read_is_an_outage(own: RedisProcess, opened: Open, key: str, put: tuple[str, str]) -> None:
    store = opened(own.url)
    fill(store)
    verb, text = put
    with own.client() as client:
        (name,) = client.keys(f"*:{key}")
        fields = client.hkeys(name) if verb == "HSET" else []
        client.execute_command(verb, name, *fields, text)

    async def read_all() -> None:
        await store.look_up(ALICE, None, questions=QUESTIONS, fingerprint="", now=NOW)
        await store.devices(ALICE, now=NOW)

    with pytest.raises(StateUnavailable):
        run(read_all())


def test_a_file_forgets_what_changes_no_answer(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    fill(store)
    run(store.note_habits([Habit(subject=Subject("", "x"), at=NOW + SEEN_SECONDS + 100, seen=("z",))]))

    def rows() -> dict[str, int]:
        connection = sqlite3.connect(tmp_path / "state.db")
        tables = ("rates", "seen", "baselines", "places", "raised", "devices")
        found = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}  # noqa: S608 - constants
        connection.close()
        return found

    assert rows() == {"rates": 0, "seen": 1, "baselines": 1, "places": 0, "raised": 0, "devices": 0}
    run(store.note_habits([Habit(subject=Subject("", "x"), at=NOW + BASELINE_SECONDS + 100, seen=("z",))]))
    assert rows()["baselines"] == 0
    run(store.close())


def test_counts_survive_the_end_of_the_process_though_they_are_not_synced(tmp_path: Path) -> None:
    for expected in (1, 2):
        store = SqliteStore(tmp_path / "state.db")
        found = run(store.look_up(None, None, questions=RATES[:1], fingerprint="", now=NOW))
        assert found.answers == {RATES[0]: expected}
        run(store.close())


def test_a_flood_of_keys_takes_no_more_memory_and_nothing_is_told_as_less_than_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_habits, "MOST_RATES", 10)
    store = MemoryStore()
    keys = [Question("rate", (f"key {number}", 60.0)) for number in range(3_000)]
    for turn in (1, 2):
        for key in keys:
            found = run(store.look_up(None, None, questions=(key,), fingerprint="", now=NOW))
            assert found.answers[key] >= turn  # type: ignore[operator]  # it is a count
    assert len(store._habits._counters) <= 10 + 16**3
    first = run(store.look_up(None, None, questions=keys[:1], fingerprint="", now=NOW)).answers[keys[0]]
    assert first == 3, "those that came first keep a counter of their own"


def test_what_is_forgotten_in_memory_leaves_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_habits, "MOST_RATES", inf)
    store = MemoryStore()
    fill(store)
    run(store.note_habits([Habit(subject=Subject("", "x"), at=NOW + BASELINE_SECONDS + 100, seen=("z",))]))
    assert list(store._habits._habits) == [Subject("", "x")]
    assert not store._habits._counters
    assert not store._devices._devices
