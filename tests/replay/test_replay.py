"""Traffic of a real checker, replayed by other policies: what changes, for whom, and what can't be known."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checking import POLICY, Bench, make_bench
from commanding import command
from consoles import in_terminal
from replay.recording import replayed, write
from typer.testing import CliRunner

from extauthz.cli.commands import app
from extauthz.cli.quickstart.demo import EXTAUTHZ
from extauthz.history.replay import Tally
from extauthz.policy.load import load_text
from extauthz.record.masking import Keep
from extauthz.store.open import open_store

AMOUNTS = Keep(query=frozenset({"amount", "once"}))
LARGE = "when: variables.amount > 1000.0"

Replaying = Callable[..., Tally]


@pytest.fixture
def bench() -> Bench:
    return make_bench(open_store("memory:", base=Path()))


@pytest.fixture
def replaying(bench: Bench, tmp_path: Path) -> Replaying:
    """Replays what the bench has decided so far by the policies of a text."""

    def replaying(policy: str, keep: Keep = AMOUNTS) -> Tally:
        path = tmp_path / "audit.jsonl"
        path.unlink(missing_ok=True)
        return replayed(write(bench.records.kept, path, keep), load_text(policy))

    return replaying


def test_the_same_policies_change_nothing(bench: Bench, replaying: Replaying) -> None:
    for payload in (
        bench.request("/health"),
        bench.as_user("/pay?amount=5"),
        bench.as_user("/pay?amount=5000"),
        bench.request("//"),
        bench.request("/pay", headers={"authorization": "Bearer x.y.z"}),
    ):
        bench.answer(payload)
    tally = replaying(POLICY)
    assert (tally.total, tally.unchanged, tally.not_by_policy) == (5, 3, 2)
    # The same rules in other words have another revision, so they decide for themselves.
    tally = replaying(POLICY.replace("has(user.sub)", "has(user.sub) && true"))
    assert (tally.unchanged, tally.changed.total(), tally.undecidable) == (3, 0, 0)


def test_the_friction_of_a_new_challenge_is_seen_before_anyone_feels_it(bench: Bench, replaying: Replaying) -> None:
    for minute in range(12):
        bench.answer(bench.as_user(f"/pay?amount={minute}"))
        bench.now[0] += 60
    tally = replaying(POLICY.replace(LARGE, "when: variables.amount > 1.0"))
    assert tally.changed == {("allow", "challenge"): 10}
    assert tally.by_rule == {("payments/large", ("allow", "challenge")): 10}
    assert tally.by_subject == {("alice at https://idp.example.com", ("allow", "challenge")): 10}
    assert tally.prompts == {"payments/large": 2}, "a proof serves for five minutes"
    example = tally.examples["allow", "challenge"][0]
    assert (example.request, example.before) == (
        "POST payments.example.com/pay",
        "allow (allowed) by payments/users-may-pay",
    )
    assert example.after == "challenge (proof-required) by payments/large"


def test_what_is_masked_is_counted_and_never_guessed(bench: Bench, replaying: Replaying) -> None:
    bench.answer(bench.as_user("/pay?amount=5"))
    bench.answer(bench.request("/health"))
    tally = replaying(POLICY.replace(LARGE, "when: variables.amount > 1.0"), Keep())
    assert (tally.undecidable, tally.unchanged) == (1, 1)
    assert tally.missing == {"request.query.amount": 1}


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (("max_age: 5m}\n    - name: once", "max_age: 2m}\n    - name: once"), {}),
        (("max_age: 5m}\n    - name: once", "max_age: 1m}\n    - name: once"), {("allow", "challenge"): 1}),
        (("[totp], max_age: 5m}\n    - name: once", "[webauthn]}\n    - name: once"), {("allow", "challenge"): 1}),
        (("max_age: 5m}\n    - name: once", "bind: session}\n    - name: once"), {}),
    ],
)
def test_a_proof_counts_as_far_as_the_record_tells(
    bench: Bench, replaying: Replaying, change: tuple[str, str], outcome: dict[Any, int]
) -> None:
    """Proven at first, used after 90 s: a record tells which factor it was, and how old."""
    assert bench.decision(bench.as_user("/pay?amount=5000", code=bench.code()))[0] == "allow"
    bench.now[0] += 90
    assert bench.decision(bench.as_user("/pay?amount=5000"))[0] == "allow"
    del bench.records.kept[0]
    changed = POLICY.replace(*change)
    assert changed != POLICY
    tally = replaying(changed)
    assert tally.changed == outcome
    # Bound to the session it would be another proof, of which the record says nothing.
    assert tally.undecidable == ("session" in change[1])


def test_whether_somebody_would_have_had_a_proof_is_unknown_once_he_was_asked(
    bench: Bench, replaying: Replaying
) -> None:
    frozen = POLICY + '    - {name: frozen, paths: ["/pay"], when: has(request.query.once), effect: deny}\n'
    bench.checker.swap(type(bench.checker.ruling)(policies=load_text(frozen), resolver=bench.checker.ruling.resolver))
    assert bench.decision(bench.as_user("/pay?amount=5000&once"))[0] == "deny"
    assert bench.decision(bench.as_user("/pay?amount=5000"))[0] == "challenge"
    assert bench.decision(bench.as_user("/pay?amount=5000&once"))[0] == "deny"
    tally = replaying(POLICY.replace("has(request.query.once)", "1 == 2"))
    assert tally.changed == {("deny", "challenge"): 1}, "before he was ever asked"
    assert (tally.unchanged, tally.missing) == (1, {"proof for payments/large": 1})


def invoke(*arguments: object) -> Any:
    done = CliRunner().invoke(app, ["policy", "replay", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done


def test_the_command_tells_people_and_programs(bench: Bench, tmp_path: Path) -> None:
    for path in ("/health", "/pay?amount=5", "/pay?amount=7"):
        bench.answer(bench.as_user(path))
    audit = write(bench.records.kept, tmp_path / "audit.jsonl")
    with audit.open("ab") as file:
        file.write(b'not a record\n{"v":2}\n\n{"v":1,"time":"20')
    (tmp_path / "old.yaml").write_text(POLICY)
    (tmp_path / "new.yaml").write_text(
        POLICY.replace("effect: allow\n    - name: users", "effect: deny\n    - name: users")
    )
    told = json.loads(invoke("--policy", tmp_path / "new.yaml", "--audit", audit, "--format", "json").stdout)
    assert (told["records"], told["malformed"], told["undecidable"]) == (3, 3, 2)
    assert [(one["from"], one["to"], one["count"]) for one in told["changes"]] == [("allow", "deny", 1)]
    assert [(one["number"], one["torn"]) for one in told["unreadable"]] == [(6, False), (7, False), (9, True)]
    known = invoke(
        "--policy", tmp_path / "new.yaml", "--audit", audit, "--baseline", tmp_path / "old.yaml", "--format", "json"
    )
    told = json.loads(known.stdout)
    assert (told["changed"], told["unchanged"], told["undecidable"]) == (1, 2, 0), (
        "rules as they were decide as recorded"
    )
    said = invoke("--policy", tmp_path / "new.yaml", "--audit", audit).stdout
    assert "1 would change" in said
    assert "request.query.amount" in said
    assert "line 7:" in said


def test_a_terminal_sees_how_far_a_replay_is_and_a_pipe_does_not(bench: Bench, tmp_path: Path) -> None:
    for _ in range(3):
        bench.answer(bench.request("/health"))
    audit = write(bench.records.kept * 300, tmp_path / "audit.jsonl")
    (tmp_path / "p.yaml").write_text(POLICY)
    words = [*EXTAUTHZ, "policy", "replay", "--policy", str(tmp_path / "p.yaml"), "--audit", str(audit)]
    watched = in_terminal(words, columns=80)
    assert re.search(r"audit\.jsonl .*\d+%", watched)
    piped = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "%" not in piped.stdout + piped.stderr
    assert "900 stay as they are" in piped.stdout


def test_a_baseline_of_another_time_is_told(bench: Bench, tmp_path: Path) -> None:
    bench.answer(bench.request("/health"))
    audit = write(bench.records.kept, tmp_path / "audit.jsonl")
    (tmp_path / "other.yaml").write_text(POLICY.replace("1000.0", "9.0"))
    done = invoke("--policy", tmp_path / "other.yaml", "--audit", audit, "--baseline", tmp_path / "other.yaml")
    assert "no record was decided by the baseline" in done.stderr


def test_broken_lines_do_not_bury_the_result(bench: Bench, tmp_path: Path) -> None:
    bench.answer(bench.request("/health"))
    audit = write(bench.records.kept, tmp_path / "audit.jsonl")
    (tmp_path / "p.yaml").write_text(POLICY)
    with audit.open("ab") as file:
        file.write(b"no JSON\n" + b"{}\n" * 30)
    said = invoke("--policy", tmp_path / "p.yaml", "--audit", audit).stdout
    assert said.startswith("1 record from ")
    assert "1 stays as it is\n" in said
    assert "31 lines are no records\n" in said
    assert [line.partition(":")[0] for line in said.splitlines() if line.startswith("line ")] == [
        "line 4",
        "line 5",
        "line 6",
    ]
    assert "line 4: JSON is malformed" in said
    assert "line 5: object missing required field" in said


@pytest.mark.parametrize(
    ("content", "told"), [("", ""), ("{}\n", ", but 1 other line"), ("{}\nx", ", but 2 other lines")]
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_file_without_records_is_one_clear_error(tmp_path: Path, content: str, told: str, output: str) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "a.jsonl").write_text(content)
    asked = ("policy", "replay", "--policy", "p.yaml", "--audit", "a.jsonl", "--format", output)
    done = command(*asked, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"extauthz: a.jsonl: holds no record of a decision{told}; `audit.path` names the file to read\n"
    )


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    done = CliRunner().invoke(
        app, ["policy", "replay", "--policy", str(tmp_path / "p.yaml"), "--audit", str(tmp_path / "none.jsonl")]
    )
    assert done.exit_code == 1
    assert str(done.exception).endswith("none.jsonl: can't read the audit file: no such file or directory")
