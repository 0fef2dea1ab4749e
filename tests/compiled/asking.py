"""Questions to what is compiled and to its sources: Checks, policies, decisions and headers of all kinds.

`FUZZ_EXAMPLES` is how many examples there are of each kind; they are new ones each time then.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from compiled.deciding import READINGS, Case, Question
from fuzz.generated import HOSTS, METHODS, QUERIES, SEGMENTS, hostile_plans, payload_of, valid_payloads
from fuzz.mutation import mutated
from fuzz.target import HOST, bounded
from fuzz.target import NOW as FUZZED_AT
from hypothesis import given
from hypothesis import strategies as st
from policy.any_policies import approvals, flaws, identities, policies, requests
from policy.making import (
    NOW,
    WEB,
    Document,
    approval,
    caller,
    compiled,
    document,
    evaluate,
    grant,
    http,
    risk_model,
    rule,
    signal,
    tcp,
    vote,
)
from wire.answers import BY_FORM
from wire.header_forms import entries_of
from wire.test_wire_answer_laws import ANY_DECISION, ANY_OFFER, SAYABLE_ALLOW

from bench.worst import CASES
from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz.values.decisions import Allow, Challenge, Deny, Hold, Mutations
from extauthz.values.grants import Facts
from extauthz.wire.compose import check_request

CORPUS = Path(__file__).parents[1] / "corpus" / "decisions"
_LONG = os.environ.get("FUZZ_EXAMPLES")
CHANCE = random.Random(None if _LONG else 24)  # noqa: S311 - chance, not a secret
MORE = int(_LONG) // 100 if _LONG else 1
DAMAGED = 6
"""Checks that are made of each one that hypothesis draws, which costs much more than to change some of its bytes."""
LATER = 2_100_000_000.0
"""When every rule has expired that ever does."""

EDGES = (-62_135_596_801, -62_135_596_800, 0, int(FUZZED_AT), 253_402_300_799, 253_402_300_800, 2**62, -(2**62))
"""Around the times that a timestamp of protobuf can say, and those of integers that are no pointers any more."""

Drawn = TypeVar("Drawn")


def drawn(strategy: st.SearchStrategy[Drawn], examples: int) -> list[Drawn]:
    found: list[Drawn] = []

    @given(strategy)
    @bounded(examples)
    def keep(one: Drawn) -> None:
        found.append(one)

    keep()
    return found


def damaged(payload: bytes) -> bytes:
    """The bytes with some changed; most often as many as they were, so that not all of them are refused unread."""
    changed = bytearray(payload)
    for _ in range(CHANCE.choice((1, 1, 1, 2, 5))):
        place = CHANCE.randrange(len(changed) + 1)
        match CHANCE.randrange(12):
            case 0:
                del changed[place : place + CHANCE.randrange(1, 30)]
            case 1:
                changed[place:place] = changed[place : place + CHANCE.randrange(1, 60)]
            case 2 | 3:
                changed[place : place + 1] = CHANCE.choice((b"\0", b"\x7f", b"\x80", b"\xff", b"\xc3"))
            case 4:
                changed[place : place + 1] = CHANCE.randbytes(1)
            case _:
                changed[place : place + 1] = CHANCE.choice((b"/", b"%", b"2", b"E", b".", b";", b",", b"!", b"_", b"A"))
    return bytes(changed)


def checks() -> Iterator[Question]:
    """Honest, hostile and broken ones, and the dearest that are known."""
    drawn_ones = drawn(valid_payloads, 100) + drawn(hostile_plans().map(payload_of) | mutated(), 200)
    for payload in drawn_ones:
        for reading in READINGS:
            yield "check", reading, payload
            for _ in range(DAMAGED):
                yield "check", reading, damaged(payload)
    for dearest in CASES.values():
        yield "check", "strict", dearest()
    for changes in BOUNDS:
        plain: dict[str, Any] = {"host": HOST, "path": "/open/a"}
        yield "check", "strict", check_request(**plain | changes)
    for _ in range(1_500 * MORE):
        path = "".join("/" + segment for segment in CHANCE.choices(SEGMENTS, k=CHANCE.randrange(5)))
        payload = check_request(
            host=CHANCE.choice(HOSTS) if CHANCE.random() < 0.1 else HOST,
            method=CHANCE.choice(METHODS) if CHANCE.random() < 0.1 else "GET",
            path=f"/open{path}{CHANCE.choice(QUERIES) if CHANCE.random() < 0.2 else ''}",
            raw_headers=CHANCE.random() < 0.5,
        )
        yield "check", CHANCE.choice(tuple(READINGS)), payload


BOUNDS: tuple[dict[str, Any], ...] = (
    *({"time": (seconds, nanos)} for seconds in EDGES for nanos in (-1, 0, 999_999_999, 1_000_000_000)),
    *({"context": {f"k{n}": "v" for n in range(count)}} for count in (1_024, 1_025)),
    *({"path": "/open" + "/a" * count} for count in (1_022, 1_023, 1_024, 60_000)),
    *({"path": "/open/" + "a" * count} for count in (249, 250, 251, 65_529, 65_530, 65_531)),
    *({"path": "/open/%41" + "a" * count} for count in (200, 300)),
    *({"certificate": "a" * count} for count in (8_000, 8_192, 65_000, 65_536)),
    *({"sni": "a" * count, "route_metadata": {"n": {"v": "b" * count}}} for count in (1, 1_000, 2_040, 66_000)),
    *({"metadata": {"n": {"v": [[{"a": "b" * count}], 1.5, None, True]}}} for count in (1, 70_000)),
    *(
        {"headers": {f"x-{n}": "v" for n in range(count)}, "raw_headers": raw}
        for count in (63, 64, 65, 300)
        for raw in (0, 1)
    ),
    *({"headers": {"x-a": "v" * count}, "raw_headers": raw} for count in (16_383, 16_384, 70_000) for raw in (0, 1)),
    *({"method": method, "path": path} for method in ("OPTIONS", "CONNECT") for path in ("*", "", HOST, "/open")),
)


@st.composite
def any_rules(draw: st.DrawFn) -> Question:
    """Policies and requests, and those that were challenged or held again, with what was asked or not quite that."""
    documents = tuple(draw(policies()))
    known, cases = compiled(*documents), list[Case]()
    for request, identity in draw(st.lists(st.tuples(requests(), identities), min_size=2, max_size=6)):
        facts = Facts()
        decision = evaluate(known, request, identity).decision
        cases.append((request, identity, facts, NOW))
        match decision:
            case Challenge():
                demands = enumerate(decision.demands)
                made = [{"binding": one.binding, "id": str(n), "subject": identity.subject} for n, one in demands]
                facts = Facts(grants=tuple(grant(**{**one, **draw(flaws)}) for one in made))
            case Hold():
                facts = Facts(grants=approvals(decision, draw(st.data())))
            case Allow() | Deny():
                pass
        cases += [(request, identity, facts, NOW), (request, identity, facts, LATER)]
    return "rules", documents, tuple(cases)


def corpus() -> Iterator[Question]:
    for file in sorted(CORPUS.glob("*.yaml")):
        case: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        asked = dict(case.get("request", {}))
        if "body" in asked:
            asked["body"] = asked["body"].encode()
        request = tcp(**asked.pop("tcp")) if "tcp" in asked else http(**asked)
        grants = [grant(**one) for one in case.get("grants", [])]
        given = [(one["binding"], [vote(**cast) for cast in one["votes"]]) for one in case.get("approvals", [])]
        grants += [approval(binding, *votes) for binding, votes in given]
        facts = Facts(grants=tuple(grants), device=case.get("device", {}), geo=case.get("geo", {}))
        yield "rules", tuple(case["policies"]), ((request, caller(**case.get("caller", {})), facts, NOW),) * 2


RICH: tuple[Document, ...] = (
    risk_model(signals={"far": signal("request.query.amount == '5'", 40), "odd": signal("user.sub == 'u2'", 30)}),
    document(
        "rich",
        rule("all", "allow", allow={"headers": {"x-a": "request.query[?'amount'].orValue('0')", "x-sub": "user.sub"}}),
        rule("tail", "allow", paths=["/t/{one}/{rest=**}"], allow={"headers": {"x-rest": "request.params.rest"}}),
        rule(
            "one",
            "deny",
            paths=["/t/{one}/*/deny"],
            when="request.params.one != ''",
            deny={
                "status": 422,
                "headers": {"x-why": "request.params.one", "x-err": "request.query.none"},
                "body": "'no ' + request.query.amount",
            },
        ),
        rule("star", "deny", paths=["/s/*", "/s/{a}/{b}"], methods=["GET"]),
        rule(
            "query",
            "allow",
            paths=["/q"],
            allow={
                "query": {"b c": "'ä&1'", "a": "request.path"},
                "remove_query": ["q", "debug"],
                "metadata": {"n": "[1, 2.5, request.path]", "m": "{'a': true}"},
                "append_headers": {"X-Scope": "user.groups", "cookie": "'c=1'"},
                "remove_headers": ["x_b", "x-c"],
                "response_headers": {"X-R": "'1'"},
                "append_response_headers": {"set-cookie": "['c=1', 'd=2']"},
            },
        ),
        rule("conflict", "allow", paths=["/c"], allow={"headers": {"x-a": "'other'"}}),
        rule("risky", "challenge", when="risk.level == 'medium' && request.method == 'POST'"),
        rule("high", "deny", when="risk.score > 60.0"),
        rule("geo", "deny", when="has(geo.country) && geo.country == 'XX'"),
        rule("staged", "deny", paths=["/g"], mode={"enforce_for": {"percent": 50}}),
        rule("there", "deny", paths=["/h"], when="'x-b' in request.headers && 'x-c' in request.headers"),
        rule("soon", "deny", paths=["/e"], expires="2026-11-18T07:06:40Z", expires_opens=True),
        rule(
            "kept",
            "approve",
            paths=["/k"],
            audit="required",
            approve={
                "approvers": {"groups": ["chiefs"]},
                "auto": [
                    {"when": "request.query.amount == '1'", "answer": "approve"},
                    {"when": "request.query.none == '1'", "answer": "deny"},
                ],
            },
        ),
    ),
    document("mesh", rule("w", "deny", workloads=["spiffe://prod.example.org/ns/*/sa/bad"]), hosts=["*.deep.example"]),
)
PLACES = (
    *("/", "/t/a/b/c", "/t/a/b/deny", "/t/a", "/s/", "/s/a", "/s/a/b", "/q", "/c", "/g", "/h"),
    *("/e", "/k", "/t/%41/b%20c/deny/", "/t/a/b/c/d/e/f/g"),
)


def rich() -> Iterator[Question]:
    """Rules of every kind together, asked by a few callers again and again."""
    callers = [caller(sub=f"u{n}", groups=("staff",) * (n % 2), workload=WEB if n % 3 else None) for n in range(12)]
    callers += [caller(), caller(workload="spiffe://prod.example.org/ns/a/sa/bad")]
    cases = []
    for _ in range(600 * MORE):
        headers = {
            name: CHANCE.choice(("", "1", "\u00e9")) for name in CHANCE.sample(("x-b", "x_b", "x-c", "cookie"), 2)
        }
        amount = CHANCE.choice(("", "?amount=1", "?amount=5", "?amount=1&a=2&%61=3&b%20c=4&q", "?debug"))
        asked = http(
            CHANCE.choice(PLACES) + amount,
            method=CHANCE.choice(("GET", "POST", "HEAD")),
            host=CHANCE.choice(("app.example", "deep.example", "a.deep.example", "a.b.deep.example")),
            headers=headers,
        )
        if CHANCE.random() < 0.05:
            asked = tcp(source_ip="192.0.2.7")
        facts = Facts(geo={"country": "XX"}) if CHANCE.random() < 0.1 else Facts()
        cases.append((asked, CHANCE.choice(callers), facts, CHANCE.choice((NOW, 1_795_000_001.0, LATER))))
    yield "rules", RICH, tuple(cases)


SPELT = tuple(
    http(path, headers=headers)
    for path in ("/?a=1&%61=2&b%20c=3&q", "/?debug")
    for headers in ({"x_a": "1", "x-b": "2"}, {"x_extauthz-otp": "1", "cookie": "a=b", "x-a": "c"}, {})
)
CHANGES = (
    Mutations(query={"a": "1", "b c": "\u00e4"}, remove_query=frozenset({"q"})),
    Mutations(headers={"x-a": "1"}, append_headers={"X-B": ("2", "3"), "cookie": ("c=1",)}),
    Mutations(remove_headers=frozenset({"x-c", "x_b"}), response_headers={"X-R": "1"}, metadata={"m": [1, 2.5, True]}),
)


def spelt() -> Iterator[Question]:
    """Changes of what a client has spelt in its own way."""
    for request in SPELT:
        for mutations in CHANGES:
            for settable in (frozenset[str](), frozenset({"x-a", "x-d"})):
                yield "say", Allow(rule="r", mutations=mutations), request, "d-1", settable, None


answers: st.SearchStrategy[Question] = st.tuples(
    st.just("say"),
    ANY_DECISION | SAYABLE_ALLOW,
    st.sampled_from((None, *BY_FORM.values(), *SPELT)),
    st.sampled_from(("d", "0123456789abcdef-1f", "d" * 127, "d" * 128, "d" * 300, "", "a b", "\u00e9")),
    st.frozensets(st.sampled_from(("x-a", "x_a", "x-b", "cookie"))),
    ANY_OFFER,
)
NAMES = (
    *("accept", "user-agent", "authorization", "cookie", "x-a", "x_b", "host", "connection", "content-length"),
    *("x-forwarded-for", ":path", ":method", "Accept", "", "a b", "x" * 200, "\u00e9", "te", "via"),
)
VALUES = (
    *("", "*/*", "a" * 126, "a" * 127, "a" * 128, "a" * 129, "a" * 16_384, "close", "keep-alive, x-a", "cookie", "a,b"),
    *("a\nb", "a\rb", "\0", "\u00e9", "\U0001f600", "b" * 400, "x" * 70_000, "\x7f", "\u2028"),
)


def connections() -> Iterator[Question]:
    """Headers on a connection, most of which are as those before."""
    for _ in range(400 * MORE):
        names = CHANCE.sample(NAMES[:10], CHANCE.randrange(6)) + CHANCE.choices(NAMES, k=CHANCE.randrange(3))
        lines = [(name, CHANCE.choice(VALUES[:4])) for name in names]
        sent: dict[str, list[tuple[bytes, ...]]] = {"JOINED": [], "RAW": []}
        for _ in range(CHANCE.randrange(2, 7)):
            if lines and CHANCE.random() < 0.7:
                place = CHANCE.randrange(len(lines))
                lines[place] = (lines[place][0], CHANCE.choice(VALUES))
            raw = [HeaderValue(key=name, raw_value=value.encode()).SerializeToString() for name, value in lines]
            joined = entries_of(dict(lines))
            for form, entries in (("JOINED", joined), ("RAW", raw)):
                if entries and CHANCE.random() < 0.2:
                    place = CHANCE.randrange(len(entries))
                    entries[place] = damaged(entries[place])
                sent[form].append(tuple(entries))
        yield from (("headers", form, tuple(connection)) for form, connection in sent.items())


def questions() -> Iterator[Question]:
    """All of them."""
    yield from corpus()
    yield from rich()
    yield from spelt()
    yield from drawn(any_rules(), 60)
    yield from drawn(answers, 200)
    yield from connections()
    yield from checks()
