"""The risk through the whole checker: signs that linger, stores that are out of reach, records that say why."""

from dataclasses import dataclass, replace

import pytest
from checking import Bench, make_bench
from kept_records import Records
from store.one_loop import run

from extauthz.check.checker import Checker
from extauthz.check.habits import Habits
from extauthz.policy.load import load_text
from extauthz.store.memory import MemoryStore

POLICY = """
apiVersion: extauthz/v1
kind: RiskModel
metadata: {name: default}
spec:
  signals:
    probing: {when: request.path.startsWith("/admin"), weight: 40, half_life: 1h, reason: asked for what is not theirs}
    often: {when: 'rate(user.sub, duration("1m")) > 100', weight: 40, reason: too many requests}
  levels: {low: 0, medium: 15, high: 30}
---
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: all, effect: allow}
    - {name: high, effect: deny, when: risk.level == "high", deny: {reason: risky}}
"""
SHADOW = POLICY.replace("effect: deny,", "effect: deny, mode: shadow,")


@dataclass(kw_only=True)
class Server:
    bench: Bench
    habits: Habits
    kept: Records

    def asks(self, path: str, sub: str = "alice") -> str:
        headers = {"authorization": f"Bearer {self.bench.token(sub)}"}
        decision, reason, _ = self.bench.decision(self.bench.request(path, headers=headers))
        run(self.habits.write())
        return "allow" if decision == "allow" else reason


def server(policy: str = POLICY) -> Server:
    store = MemoryStore()
    bench, kept, habits = make_bench(store, run), Records(), Habits(store)
    surroundings = replace(bench.surroundings, store=store, habits=habits, recorder=kept)
    checker = Checker(replace(bench.checker.ruling, policies=load_text(policy)), surroundings)
    return Server(
        bench=replace(bench, checker=checker, surroundings=surroundings, store=store), habits=habits, kept=kept
    )


def test_a_sign_lingers_although_what_gave_it_was_denied_and_for_its_subject_alone() -> None:
    one = server()
    assert one.asks("/") == "allow"
    assert one.asks("/admin") == "risky"
    assert one.asks("/") == "risky"
    assert one.asks("/", sub="bob") == "allow"
    one.bench.now[0] += 1800
    assert one.asks("/") == "allow"
    (risk,) = one.kept.kept[-1].risk
    assert risk.level == "medium"
    assert risk.score == pytest.approx(40 / 2**0.5)
    assert risk.signals == ("probing",)


def test_the_record_has_every_signal() -> None:
    one = server()
    one.asks("/admin")
    (risk,) = one.kept.kept[-1].risk
    assert [(heard.name, heard.state, heard.counted, heard.reason) for heard in risk.heard] == [
        ("often", "quiet", 0.0, "too many requests"),
        ("probing", "raised", 40.0, "asked for what is not theirs"),
    ]


def test_without_its_store_a_rule_that_is_obeyed_is_503_and_one_in_shadow_errs() -> None:
    obeyed, shadow = server(), server(SHADOW)
    for one in (obeyed, shadow):
        run(one.bench.store.close())
    assert obeyed.asks("/") == "state-unavailable"
    assert shadow.asks("/") == "allow"
    (result,) = (one for one in shadow.kept.kept[-1].rules if one.rule == "p/high")
    assert result.result == "error"
    assert shadow.kept.kept[-1].risk == ()


def test_an_error_of_another_kind_counts() -> None:
    errs = POLICY.replace('rate(user.sub, duration("1m")) > 100', "user.claims.missing == 1")
    one = server(errs)
    assert one.asks("/") == "risky"
    (risk,) = one.kept.kept[-1].risk
    assert [heard.state for heard in risk.heard] == ["error", "quiet"]
