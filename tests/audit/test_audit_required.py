"""`audit: required` in a whole checker: both ways to an answer wait for the record, and fail closed without it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from audit.auditing import decision, ids, lines
from audit.hanging_disks import HangingDisk
from audit_journal import DEFAULTS, AuditJournal
from checking import POLICY, Bench, make_bench, told
from kept_records import KeptRecords, Records
from patience import comes

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check import committing
from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.policy.load import load_text
from extauthz.record.brief import Decided
from extauthz.record.journal import Journal
from extauthz.record.keeping import Recorder
from extauthz.store.open import open_store

REQUIRING = POLICY.replace('paths: ["/health"]', 'paths: ["/health"]\n      audit: required').replace(
    "when: variables.amount > 1000.0", "when: variables.amount > 1000.0\n      audit: required"
)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that others keep busy may be slow."""
    monkeypatch.setattr(committing, "PATIENCE", 60.0)


@pytest.fixture
def bench() -> Bench:
    return make_bench(open_store("memory:", base=Path()))


def requiring(bench: Bench, recorder: Recorder | None) -> Bench:
    """The bench with policies that require records of `/health` and of large payments."""
    around: Surroundings = bench.checker._around
    ruling = Ruling(policies=load_text(REQUIRING), resolver=bench.checker.ruling.resolver)
    return replace(bench, checker=Checker(ruling, replace(around, recorder=recorder)))


@pytest.mark.usefixtures("unhurried")
def test_the_record_is_in_the_file_when_the_answer_is_here(bench: Bench, tmp_path: Path) -> None:
    beside = KeptRecords()
    audit = AuditJournal(tmp_path / "audit.jsonl", DEFAULTS, beside)
    bench = requiring(bench, audit)
    assert bench.decision(bench.request("/health"))[0] == "allow"
    assert len(ids(tmp_path / "audit.jsonl")) == 1
    assert bench.decision(bench.as_user("/pay?amount=5000"))[0] == "challenge"  # by way of a look-up
    assert [line["decision"] for line in lines(tmp_path / "audit.jsonl")] == ["allow", "challenge"]
    audit.close()
    assert len(ids(tmp_path / "audit.jsonl")) == 2
    assert [type(record.decision).__name__ for record in beside.kept] == ["Allow", "Challenge"]


def test_without_room_on_the_disk_what_requires_a_record_is_denied_and_nothing_else(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "audit.jsonl").symlink_to("/dev/full")
    beside = KeptRecords()
    audit = AuditJournal(tmp_path / "audit.jsonl", DEFAULTS, beside)
    bench = requiring(bench, audit)
    denied = ("deny", "audit-unavailable", 14)
    assert bench.decision(bench.request("/health")) == denied
    assert bench.decision(bench.as_user("/pay?amount=5000", code=bench.code())) == denied
    assert bench.decision(bench.as_user("/pay?amount=5"))[0] == "allow"
    audit.close()
    assert {record.decision.reason for record in beside.kept} == {"audit-unavailable", "allowed"}


def test_without_an_audit_file_what_requires_a_record_is_denied(bench: Bench) -> None:
    bench = requiring(bench, None)
    assert bench.decision(bench.request("/health")) == ("deny", "audit-unavailable", 14)
    assert bench.decision(bench.as_user("/pay?amount=5"))[0] == "allow"


class Impatient(Future[None]):
    """A record that never comes; it notes how long one would wait for it, and is never waited for."""

    def __init__(self, waits: list[float | None]) -> None:
        super().__init__()
        self._waits = waits

    def result(self, timeout: float | None = None) -> None:
        self._waits.append(timeout)
        raise TimeoutError


@pytest.mark.parametrize(
    ("remaining", "patience"), [(None, 0.15), (10.0, 0.15), (0.1, 0.08), (0.02, 0.0), (0.0, 0.0), (-1.0, 0.0)]
)
def test_a_record_is_waited_for_only_as_long_as_the_caller_waits(
    bench: Bench, remaining: float | None, patience: float
) -> None:
    """An answer that comes after Envoy's timeout is a failure, which `failure_mode_allow` may turn into an allow."""
    waits: list[float | None] = []
    stuck = Stuck()
    stuck.made = lambda: Impatient(waits)
    bench = requiring(bench, stuck)
    answer = bench.checker.start(bench.request("/health"), remaining=lambda: remaining)
    assert isinstance(answer, bytes)
    assert told(CheckResponse.FromString(answer))["reason"] == "audit-unavailable"
    assert waits == [pytest.approx(patience)]


class Stuck(Records):
    """A disk that never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Future[None]] = []
        self.made: Callable[[], Future[None]] = Future

    def commit(self, record: Decided) -> Future[None]:  # noqa: ARG002 - nobody ever writes it
        self.waiting.append(self.made())
        return self.waiting[-1]


def test_a_disk_that_hangs_denies_before_envoy_gives_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "PATIENCE", 0.02)
    stuck = Stuck()
    bench = requiring(bench, stuck)
    assert bench.decision(bench.request("/health"))[1] == "audit-unavailable"
    assert bench.decision(bench.as_user("/pay?amount=5000"))[1] == "audit-unavailable"
    assert all(future.cancelled() for future in stuck.waiting), "what was denied must not be recorded as allowed"


def test_other_calls_go_on_while_one_waits_for_its_record(bench: Bench) -> None:
    stuck = Stuck()
    bench = requiring(bench, stuck)
    waiting, other = (bench.checker.start(bench.as_user(path)) for path in ("/pay?amount=5000", "/pay?amount=5"))

    async def both() -> list[str]:
        ended: list[str] = []

        async def finish(name: str, opened: object) -> None:
            assert not isinstance(opened, bytes)
            await bench.checker.finish(opened, deadline=None)  # type: ignore[arg-type]  # narrowed above
            ended.append(name)

        await asyncio.gather(finish("waiting", waiting), finish("other", other))
        return ended

    assert asyncio.run(both()) == ["other", "waiting"]


def test_where_the_operator_wants_it_nothing_is_decided_that_can_not_be_recorded(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    audit = AuditJournal(path, must=True)
    bench = requiring(bench, audit)
    assert bench.decision(bench.as_user("/pay?amount=5"))[0] == "allow", "nobody knows yet"
    assert comes(lambda: audit.blocked)
    for payload in (bench.as_user("/pay?amount=5"), bench.as_user("/pay?amount=5000"), bench.request("/health")):
        assert bench.decision(payload) == ("deny", "audit-unavailable", 14)
    path.unlink()
    assert comes(lambda: not audit.blocked)
    assert bench.decision(bench.as_user("/pay?amount=5"))[0] == "allow"
    audit.close()
    assert [line["reason"] for line in lines(path)] == ["allowed", *["audit-unavailable"] * 3, "allowed"]


def test_where_the_operator_wants_it_nothing_is_decided_while_a_write_hangs(bench: Bench, tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path / "audit.jsonl")
    audit = AuditJournal(tmp_path / "audit.jsonl", must=True, hanging=0.05)
    other = HangingDisk(tmp_path / "other.jsonl")
    unbound = AuditJournal(tmp_path / "other.jsonl", hanging=0.05)
    bench = requiring(bench, audit)
    for number in range(400):
        unbound.record(decision(number))
        audit.record(decision(number))
    assert comes(lambda: audit.blocked)
    assert not audit.file.failing, "no write has failed"
    assert bench.decision(bench.as_user("/pay?amount=5")) == ("deny", "audit-unavailable", 14)
    assert other.comes_to_hang()
    assert not unbound.blocked
    with disk.working(), other.working():
        assert comes(lambda: not audit.blocked)
        assert bench.decision(bench.as_user("/pay?amount=5"))[0] == "allow"
        audit.close()
        unbound.close()


def test_a_record_knows_how_large_the_check_is_that_it_holds(bench: Bench) -> None:
    kept = KeptRecords()
    audit = Journal([kept])
    bench = requiring(bench, audit)
    payload = bench.as_user("/pay?amount=5")
    bench.decision(payload)
    bench.decision(b"no check")
    audit.close()
    assert [record.size for record in kept.kept] == [len(payload), 0]
