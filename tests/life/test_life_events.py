"""What is recorded beside decisions: every kind of event by what really happens, each once, and no secret in any."""

import asyncio
import dataclasses
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from approval.asking import ANNA, RULE, UMA_ASKING, terms
from approval.kept import BOARD, Place
from audit.audit_form import mistakes
from checking import make_bench
from patience import GENEROUS, comes
from serving import POLICY, Serve
from store.one_loop import run
from typer.testing import CliRunner
from web.conftest import World
from web.enrolling import Person, factors, link

from extauthz.approval.course import Operator
from extauthz.approval.terms import Step
from extauthz.check.approval_clerk import Clerk
from extauthz.check.checker import Checker
from extauthz.cli.commands import app
from extauthz.record.life import LifeKind, LifeRecord
from extauthz.record.life_lines import life_line_of
from extauthz.stepup.ticket import open_ticket, sign
from extauthz.store.memory import MemoryStore
from extauthz.store.sqlite import SqliteStore
from extauthz.values.origin import Origin
from extauthz.values.span_ids import SpanIds

ISSUER = "https://idp.example.com"
ONCE = "/pay?amount=5&once=1"
WRONG = "314159"
"""None of her codes; zeros would be found in times."""


SOME_PLACE = {"writer": "a" * 16, "seq": 1, "hash": "0" * 64}


class Told:
    """What was told, as lines, and the secrets that went by."""

    def __init__(self, lives: Sequence[LifeRecord], *secrets: str) -> None:
        self.lives = list(lives)
        self.secrets = [secret for secret in secrets if secret]

    @property
    def kinds(self) -> Counter[str]:
        return Counter(life.kind for life in self.lives)

    def of(self, kind: LifeKind) -> LifeRecord:
        (one,) = [life for life in self.lives if life.kind == kind]
        return one


def a_check_with_a_code() -> Told:
    bench = make_bench(MemoryStore())
    code, token = bench.code(), f"Bearer {bench.token()}"

    def pays(**headers: str) -> bytes:
        sent = {"authorization": token, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return bench.request(ONCE, headers=sent, request_id="a", time=(1_700_000_000, 5), body=b"")

    assert bench.decision(pays())[0] == "challenge"
    paid = pays(x_extauthz_otp=code)
    assert bench.decision(paid)[0] == bench.decision(paid)[0] == "allow"  # sent again, it uses nothing up
    return Told(bench.records.lives, code, token)


def a_challenge_page() -> Told:
    world = World()
    world.enroll()
    browser = world.browser()
    ticket, code = world.challenged(browser), world.code()
    browser.open(ticket)
    for _ in range(5):
        browser.answer(ticket, WRONG)
    browser.answer(ticket, code)  # locked out: not looked at
    world.now += 31
    browser.answer(ticket, code := world.code())
    late = world.challenged(browser)
    world.now += 301
    for _ in range(2):
        browser.open(late)
        browser.open(ticket)  # it was met
    return Told(world.records.lives, ticket, late, code, WRONG, *browser.cookies.values())


def an_enrolment() -> Told:
    world = World()
    text = link(world)
    person = Person.begins(world.browser(), text)
    first = person.sets_up_an_app(world)
    world.now += 60
    person.look()
    second = person.sets_up_an_app(world)
    person.look()
    person.send("remove", factor=factors(world)[0].id)
    return Told(world.records.lives, first.secret, second.secret, text)


def a_seat_that_is_proven() -> Told:
    world = World()
    world.enroll()
    person = Person.begins(world.browser(), link(world))
    code = world.code()
    person.send("prove", code=code)
    return Told(world.records.lives, code)


def approvals() -> Told:
    place = Place()
    place.rules = {RULE: terms(min=1, escalate=(Step(after=60.0, circle=BOARD),))}
    given, denied, taken = place.asked("given"), place.asked("denied"), place.asked("taken")
    place.vote(given, ANNA)
    run(place.approvals.revoke(given, by=Operator(name="ops"), reason="a mistake"))
    place.vote(denied, ANNA, "deny")
    run(place.approvals.cancel(taken, by=place.kept(taken).subject))
    place.asked("late")
    others = [Clerk(approvals=place.server()) for _ in range(2)]
    for later in (61.0, 901.0):
        place.now += later
        for clerk in (*others, *others):
            run(clerk.catch_up())
    return Told(place.records.lives)


def a_broken_glass() -> Told:
    place = Place()
    place.ask("glass", glass="fire", by=UMA_ASKING)
    (broken,) = place.grants()
    run(place.approvals.review(broken.id, ANNA, verdict="justified", reason="it burned", proof=None))
    return Told(place.records.lives)


SCENES: dict[Callable[[], Told], dict[str, int]] = {
    a_check_with_a_code: {
        "challenge.opened": 1,
        "factor.proven": 1,
        "challenge.met": 1,
        "grant.given": 1,
        "grant.used": 1,
    },
    a_challenge_page: {
        "challenge.shown": 1,
        "challenge.failed": 6,
        "factor.locked": 1,
        "factor.proven": 1,
        "challenge.met": 1,
        "grant.given": 1,
        "device.known": 1,
        "challenge.expired": 1,
    },
    an_enrolment: {"factor.enrolled": 2, "factor.removed": 1},
    a_seat_that_is_proven: {"factor.proven": 1},
    approvals: {
        "approval.opened": 4,
        "approval.voted": 2,
        "approval.approved": 1,
        "grant.given": 1,
        "approval.revoked": 1,
        "approval.denied": 1,
        "approval.cancelled": 1,
        "approval.escalated": 1,
        "approval.expired": 1,
    },
    a_broken_glass: {"approval.opened": 1, "approval.broken-glass": 1, "grant.given": 1, "approval.reviewed": 1},
}
"""What happens, and how often each kind of event is told of it."""
OF_COMMANDS = {
    "subject.blocked": 1,
    "subject.unblocked": 1,
    "subject.revoked": 2,
    "session.revoked": 1,
    "device.revoked": 2,
    "factor.enrolled": 1,
    "factor.reset": 1,
    "grant.revoked": 1,
    "keys.changed": 1,
}
OF_A_SERVER = {"policy.in-force": 2, "policy.refused": 1, "keys.changed": 1}
OF_THE_AUDIT = {"audit.started", "audit.checkpoint", "audit.rotated", "audit.removed", "audit.stopped"}
"""The audit tells these of itself: `tests/audit` shows them."""


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_what_happens_is_told_once_and_without_a_secret(scene: Callable[[], Told]) -> None:
    told = scene()
    assert told.kinds == SCENES[scene]
    written = msgspec.json.encode([life_line_of(life) for life in told.lives]).decode()
    assert [secret for secret in told.secrets if secret in written] == []
    assert [mistake for line in json.loads(written) for mistake in mistakes({**line, **SOME_PLACE})] == []


def test_every_kind_of_event_is_shown_to_happen() -> None:
    shown = set().union(*SCENES.values(), OF_COMMANDS, OF_A_SERVER)
    assert shown == set(get_args(LifeKind)) - OF_THE_AUDIT


def test_events_name_the_decision_and_the_challenge_that_they_belong_to() -> None:
    bench = make_bench(MemoryStore())
    bench.decision(bench.as_user("/pay?amount=5000"))
    (opened,), (decided,) = bench.records.lives, bench.records.kept
    assert (opened.kind, opened.decision_id, opened.by) == ("challenge.opened", decided.decision_id, "requester")
    assert opened.challenge
    assert decided.identity is not None
    assert opened.subject == decided.identity.subject


def test_what_took_time_says_since_when() -> None:
    told = a_challenge_page()
    met = told.of("challenge.met")
    assert met.started_ns is not None
    assert met.at_ns - met.started_ns == pytest.approx(31e9)
    assert met.challenge == told.of("challenge.shown").challenge
    over = approvals()
    for kind in ("approval.approved", "approval.denied", "approval.cancelled", "approval.expired"):
        assert over.of(kind).started_ns is not None
    assert (over.of("approval.revoked").by, over.of("approval.cancelled").by) == ("operator:ops", "requester")
    assert {life.by for life in over.lives if life.kind == "approval.voted"} == {"approver:anna"}
    assert over.of("approval.escalated").by == over.of("approval.expired").by == "server"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with an audit, whose store has nothing."""
    path = tmp_path / "extauthz.yaml"
    path.write_text(
        "policies: [p/]\nstore: 'sqlite:///state.db'\naudit: {path: audit.jsonl}\n"
        f"identity: {{users: [{{name: idp, issuer: '{ISSUER}', audiences: [shop], jwks: jwks.json}}]}}\n"
    )
    return path


def command(config: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--config", str(config)])
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.stdout


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_commands_append_what_they_have_done_to_the_audit(config: Path) -> None:
    give(config)
    command(config, "subjects", "block", "alice")
    command(config, "subjects", "unblock", "alice")
    command(config, "subjects", "unblock", "alice")  # nobody was blocked
    command(config, "grants", "revoke", "--subject", "alice")
    command(config, "grants", "revoke", "--subject", "alice")  # there was none left
    command(config, "subjects", "revoke", "alice")
    command(config, "subjects", "revoke", "alice", "--session", "s3cr3t-sid")
    command(config, "subjects", "revoke", "alice", "--token", "s3cr3t-jti")
    command(config, "devices", "revoke", "alice", "--all")
    command(config, "devices", "revoke", "alice", "--device", "s3cr3t-device")
    uri = json.loads(command(config, "factors", "enroll", "alice", "--format", "json"))["uri"]
    command(config, "factors", "reset", "alice")
    command(config, "keys", "rotate", "--after", "0s")
    told = lines(config.parent / "audit.jsonl")
    assert [mistake for line in told for mistake in mistakes(line)] == []
    events = [line for line in told if not line["event"].startswith("audit.")]
    assert Counter(line["event"] for line in events) == OF_COMMANDS
    assert {line["by"] for line in events} == {"command"}
    assert {line["subject"]["sub"] for line in events if "subject" in line} == {"alice"}
    written = (config.parent / "audit.jsonl").read_text()
    secret = uri.partition("secret=")[2].partition("&")[0]
    assert secret
    assert "s3cr3t" not in written
    assert secret not in written
    writers = {line["writer"] for line in told}
    for writer in writers:  # each has a chain of its own, with its beginning and its end
        chain = [line["event"] for line in told if line["writer"] == writer]
        assert (chain[0], chain[-1]) == ("audit.started", "audit.stopped")
    assert len(writers) == len(events)


def test_a_command_changes_nothing_that_it_could_not_record(config: Path) -> None:
    (config.parent / "audit.jsonl").mkdir()
    refused = CliRunner().invoke(app, ["subjects", "block", "alice", "--config", str(config)])
    assert refused.exit_code != 0
    assert "audit.path: can't write" in str(refused.exception)
    assert json.loads(command(config, "subjects", "list", "--format", "json")) == []


def test_a_command_says_that_what_it_has_done_is_not_recorded(config: Path) -> None:
    (config.parent / "audit.jsonl").symlink_to("/dev/full")
    refused = CliRunner().invoke(app, ["subjects", "block", "alice", "--config", str(config)])
    assert refused.exit_code != 0
    assert "it is done, but can't be recorded: no space left on device" in str(refused.exception).lower()
    assert "alice" not in refused.stdout, "it does not say that it is done"
    assert len(json.loads(command(config, "subjects", "list", "--format", "json"))) == 1


def give(config: Path) -> None:
    """Let Alice have a grant."""
    from extauthz.store.protocol import Redemption, SpentTicket
    from extauthz.values.grants import Grant
    from extauthz.values.identity import Subject

    async def put() -> None:
        store, alice, now = SqliteStore(config.parent / "state.db"), Subject(ISSUER, "alice"), time.time()
        grant = Grant(
            id="g1",
            subject=alice,
            session="sid:1",
            holder="cookie:c",
            binding="b",
            rule="p/r",
            factor="otp",
            issued_at=now,
            expires_at=now + 600,
        )
        ticket = SpentTicket(id="t", expires_at=now + 600)
        await store.redeem(Redemption(subject=alice, burn=None, grants=(grant,), ticket=ticket), now=now)
        await store.close()

    asyncio.run(put())


def test_a_server_records_its_policies_and_keys(serve: Serve, folder: Path) -> None:
    served, site, audit = serve(), folder / "policies" / "site.yaml", folder / "audit.jsonl"

    def told(kind: LifeKind) -> list[dict[str, Any]]:
        return [line for line in lines(audit) if line.get("event") == kind] if audit.exists() else []

    assert comes(lambda: len(told("policy.in-force")) == 1)
    site.write_text("rules: s3cr3t")
    assert comes(lambda: len(told("policy.refused")) == 1)
    site.write_text(POLICY.format(path="/two"))
    assert comes(lambda: len(told("policy.in-force")) == 2)
    key = json.loads(
        CliRunner()
        .invoke(app, ["keys", "rotate", str(folder / "keys.json"), "--after", "0s", "--format", "json"])
        .stdout
    )["key"]
    assert comes(lambda: len(told("keys.changed")) == 1)
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(GENEROUS) == 0
    assert [mistake for line in lines(audit) for mistake in mistakes(line)] == []
    events = [line for line in lines(audit) if "event" in line]
    assert Counter(line["event"] for line in events if not line["event"].startswith("audit.")) == OF_A_SERVER
    assert {line["by"] for line in events} == {"server"}
    assert told("policy.in-force")[1]["revision"] != told("policy.in-force")[0]["revision"]
    assert told("keys.changed")[0]["details"]["makes"] == key


class Giver:
    """Gives out spans, as the keeper of spans does."""

    def give(self, *_: object) -> SpanIds:
        return SpanIds(7, 8, sampled=True)


def test_events_link_to_the_span_of_the_decision_that_they_belong_to() -> None:
    bench = make_bench(MemoryStore())
    checker = Checker(bench.checker.ruling, dataclasses.replace(bench.surroundings, spans=Giver()))
    bench = dataclasses.replace(bench, checker=checker)
    headers = {"authorization": f"Bearer {bench.token()}"}
    assert bench.decision(bench.request(ONCE, headers=headers, request_id="a", body=b""))[0] == "challenge"
    headers["x-extauthz-otp"] = bench.code()
    assert bench.decision(bench.request(ONCE, headers=headers, request_id="b", body=b""))[0] == "allow"
    opened, *others = bench.records.lives
    challenged, allowed = bench.records.kept
    assert opened.links == (challenged.span,) == (SpanIds(7, 8, sampled=True),)
    assert {one.decision_id for one in others} == {allowed.decision_id}
    assert {one.links for one in others} == {(allowed.span,)}


def test_what_a_page_tells_links_to_the_decision_that_has_sent_there() -> None:
    world = World()
    world.enroll()
    browser = world.browser()
    origin = Origin(decision_id="d1", span=SpanIds(7, 8, sampled=True).traceparent)
    ticket = sign(dataclasses.replace(open_ticket(world.challenged(browser), world.keys), origin=origin), world.keys)
    browser.open(ticket)
    browser.answer(ticket, world.code())
    told = [one for one in world.records.lives if one.kind != "device.known"]
    assert len(told) == 4
    assert {(one.decision_id, one.links) for one in told} == {("d1", (SpanIds(7, 8, sampled=True),))}
