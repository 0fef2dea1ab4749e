"""Policies compiled by another process: the same set, errors included, freed as it goes; and what may go wrong."""

import asyncio
import gc
import io
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from policy.making import NOW, caller, evaluate, http

from extauthz import cel
from extauthz.app import compiling, portable
from extauthz.app.bundles import Bundles
from extauthz.app.compiling import Compiler, CompilingFailed, Sources
from extauthz.app.pace import Building, Pace, release
from extauthz.app.reload import Reloader, Status, first_ruling
from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.lookup.key_sets import KeySets
from extauthz.policy.asking import ask
from extauthz.policy.declared import Declared
from extauthz.policy.problems import PolicyErrors
from extauthz.record.chronicle import SILENT
from extauthz.risk.sketch import Quantiles
from extauthz.settings import load_settings
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.open import open_store
from extauthz.values.grants import NO_FACTS, Facts
from extauthz.web.metrics import Metrics
from extauthz.web.probes import Readiness

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: rich}
spec:
  hosts: ["a.example.com", "*.b.example"]
  variables: {amount: double(request.query.amount), big: variables.amount > 10.0}
  rules:
    - name: allow
      paths: ["/x/{id}/**"]
      workloads: ["spiffe://p.example.org/ns/*/sa/a"]
      when: request.params.id.matches("^[a-z]+$") && variables.big && cidr("10.0.0.0/8").containsIP(client.ip)
      effect: allow
      allow: {headers: {x-a: user.sub}}
    - {name: deny, paths: ["/x"], when: '"%d".format([request.size]) == "1"', effect: deny}
    - {name: confirm, paths: ["/x"], effect: challenge, challenge: {factors: [totp], bind: {scope: [request.path]}}}
"""


WEIGHED = """
apiVersion: extauthz/v1
kind: Definitions
metadata: {name: d}
spec:
  windows: {office: {zone: UTC, hours: [{from: "00:00", to: "24:00"}]}}
  addresses: {inside: ["192.0.2.0/24"]}
---
apiVersion: extauthz/v1
kind: RiskModel
metadata: {name: default}
spec:
  variables: {amount: double(request.query.amount)}
  signals:
    often: {when: 'rate(user.sub, duration("1m")) > 3', weight: 20, reason: often}
    much: {when: 'variables.amount > 2.0 * baseline("amount", user.sub).p95', weight: 20, half_life: 1h, reason: much}
    inside: {when: 'within(now, "office") && listed(client.ip, "inside")', weight: 2, reason: inside}
  levels: {low: 0, high: 40}
---
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: all, effect: allow}
    - {name: high, effect: deny, when: risk.level == "high" || seen(user.sub)}
"""


def travelled(value: object) -> object:
    """A value written and read again."""
    stream = io.BytesIO()
    portable.write(stream, value)
    return portable.read(io.BufferedReader(io.BytesIO(stream.getvalue())), Pace().breathe)


@pytest.mark.parametrize(
    ("source", "bindings"),
    [
        ("x.matches('^a+$')", {"x": "aaa"}),
        ("x.matches('(foo|bar|baz){1,40}(quux|corge){1,40}$')", {"x": "foobarquux"}),
        ("x.matches(y)", {"x": "abc", "y": "b"}),
        ("[1, 2, 3].map(i, i * 2).exists(i, i == x)", {"x": 4}),
        ("{'a': 1, 2: 'b'}[x]", {"x": "a"}),
        ("timestamp(x).getHours('Europe/Berlin') + timestamp(x).getFullYear()", {"x": "2026-11-21T10:00:00Z"}),
        ("duration('5m') > duration(x)", {"x": "1s"}),
        ("'%s %d'.format([x, 1])", {"x": "a"}),
        ("ip(x).isLoopback() || cidr('10.0.0.0/8').containsIP(x)", {"x": "10.1.1.1"}),
        ("x[?'a'].orValue(b'abc')", {"x": {}}),
        ("x in ['a', 'b', 'c'] || x == dyn(1)", {"x": "c"}),
        ("missing || x", {"x": True}),
    ],
)
def test_a_program_that_travelled_computes_the_same(source: str, bindings: dict[str, object]) -> None:
    program = cel.compile(source)
    arrived = travelled(program)
    assert isinstance(arrived, cel.Program)
    assert (arrived(bindings), arrived.names, arrived.source) == (program(bindings), program.names, source)
    assert arrived.result_type == program.result_type


def test_the_error_of_a_program_that_travelled_has_its_place() -> None:
    program = cast("cel.Program", travelled(cel.compile("1 +\n  x.missing")))
    with pytest.raises(cel.EvalError) as caught:
        program({"x": {}})
    assert (caught.value.line, caught.value.column) == (2, 3)


def test_an_expression_as_deep_as_allowed_travels(tmp_path: Path) -> None:
    depth = 60
    condition = "!" * 40 + "(" * depth + "request.path == 'a'" + ")" * depth + " || true" * 50
    text = POLICY.replace("effect: deny}", "effect: deny}").replace('"%d".format([request.size]) == "1"', "WHEN")
    (tmp_path / "p.yaml").write_text(text.replace("'WHEN'", f'"{condition}"'))
    assert len(Compiler().compile(Sources(paths=(tmp_path,))).rules) == 3


def test_another_process_says_the_same_as_this_one(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    for headers in (None, frozenset({"x-a"})):
        sources = Sources(paths=(tmp_path,), declared=Declared(headers=headers))
        here, there = sources.load(), Compiler().compile(sources)
        assert there.revision == here.revision
        assert there.settable_headers == here.settable_headers
        assert [rule.name for rule in there.rules] == [rule.name for rule in here.rules]
    (tmp_path / "p.yaml").write_text(POLICY.replace("client.ip", "cleint.ip").replace("effect: deny", "effect: dney"))
    with pytest.raises(PolicyErrors) as here_said:
        sources.load()
    with pytest.raises(PolicyErrors) as there_said:
        Compiler().compile(sources)
    assert there_said.value.problems == here_said.value.problems


def test_a_set_that_travelled_asks_and_weighs_the_same(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(WEIGHED)
    sources = Sources(paths=(tmp_path,))
    request, identity = http("/?amount=50"), caller(sub="u1")
    outcomes = []
    for policies in (sources.load(), Compiler().compile(sources)):
        candidates = policies.candidates(request, identity)
        inquiry = ask(candidates, request=request, identity=identity, facts=NO_FACTS, now=NOW)
        usual = Quantiles(count=9, p50=1.0, p90=2.0, p95=3.0, p99=4.0)
        said = {"rate": 9, "seen": False, "baseline": usual, "raised": {}}
        facts = Facts(answers={question: said[question.kind] for question in inquiry.questions})
        outcomes.append((inquiry, evaluate(policies, request, identity, facts=facts)))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][1].risk[0].score == 42.0


def test_a_set_goes_when_it_is_let_go_without_the_garbage_collector(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(f"{POLICY}---{WEIGHED}")
    for compiled in (Compiler().compile, Sources.load):
        policies = compiled(Sources(paths=(tmp_path,)))
        gc.collect()
        gc.disable()
        try:
            alive = [weakref.ref(rule.when.evaluate) for rule in policies.rules if rule.when is not None]
            alive += [weakref.ref(signal.when.evaluate) for model in policies.risk_models for signal in model.signals]
            assert len(alive) == 6
            roots: list[object] = [policies]
            del policies
            release(roots, Pace())
            assert roots == []
            assert [one() for one in alive] == [None] * 6
        finally:
            gc.enable()


def test_what_is_built_is_never_searched_for_garbage() -> None:
    gc.collect()
    before = gc.get_freeze_count()
    with Building() as pace:
        assert not gc.isenabled()
        built = [[number] for number in range(1000)]
        time.sleep(0.001)
        pace.breathe()
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(built)
    with pytest.raises(KeyError), Building():
        raise KeyError
    assert gc.isenabled()
    gc.unfreeze()


def test_a_compiler_that_is_ended_gives_no_set(tmp_path: Path) -> None:
    rules = "\n".join(f"    - {{name: n{n}, when: 'request.size > {n}', effect: deny}}" for n in range(3000))
    (tmp_path / "p.yaml").write_text(POLICY + rules)
    compiler = Compiler()
    timer = threading.Timer(0.5, compiler.stop)
    timer.start()
    with pytest.raises(CompilingFailed, match="ended without a set"):
        compiler.compile(Sources(paths=(tmp_path,)))
    with pytest.raises(CompilingFailed):
        compiler.compile(Sources(paths=(tmp_path,)))


def test_what_breaks_in_the_other_process_is_said_in_one_line() -> None:
    broken = Sources(paths=(cast("Path", 7),))
    with pytest.raises(CompilingFailed, match=r"failed: AttributeError\(.*\) at \w+\.py:\d+$"):
        Compiler().compile(broken)


def test_another_version_is_not_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    monkeypatch.setattr(compiling, "_GREETING", ("0.0.0", "3.11"))
    with pytest.raises(CompilingFailed, match="restart the server"):
        Compiler().compile(Sources(paths=(tmp_path,)))


def test_requests_while_one_is_served_are_one_more(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "extauthz.yaml").write_text("policies: [p.yaml]\nstore: 'memory:'\n")
    settings = load_settings(tmp_path / "extauthz.yaml")
    surroundings = Surroundings(
        clock=time.time_ns,
        monotonic=time.monotonic,
        entropy=lambda n: b"x" * n,
        store=open_store("memory:", base=tmp_path),
        keys=parse_keys(generate_key(b"k" * SECRET_BYTES, created=1)),
    )
    revisions: list[str] = []

    class Told(Status):
        """Notes the revision of each reload, and when there were two."""

        def accepted(self, ruling: Ruling, versions: Mapping[str, int], *, seconds: float) -> None:
            super().accepted(ruling, versions, seconds=seconds)
            revisions.append(ruling.policies.revision)
            if len(revisions) == 2:
                twice.set()

    twice = asyncio.Event()

    async def scene() -> None:
        bundles = Bundles(settings, lambda *_: None)
        ruling, _ = await first_ruling(settings, bundles)
        checker = Checker(ruling, surroundings)
        reloader = Reloader(
            settings, checker, bundles, KeySets((), base=tmp_path), Told(Readiness(), Metrics(), SILENT, lambda _: None)
        )
        for _ in range(5):
            reloader.request()
        await asyncio.sleep(0)  # it begins
        (tmp_path / "p.yaml").write_text(POLICY.replace("name: rich", "name: richer"))
        for _ in range(5):
            reloader.request()
        await twice.wait()
        await reloader.stop()
        assert checker.ruling.policies.revision == revisions[-1]

    asyncio.run(scene())
    assert len(revisions) == 2
    assert revisions[-1] == Sources(paths=settings.policy_paths).load().revision
