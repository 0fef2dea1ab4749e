"""Any policies, requests, callers and approvals, for properties that hold of all of them."""

import json
from typing import Any

from hypothesis import strategies as st
from policy.making import (
    NOW,
    WEB,
    Document,
    approval,
    caller,
    definitions,
    document,
    function,
    http,
    pathless,
    rule,
    tcp,
    vote,
)

from extauthz.values.approvals import APPROVAL_FACTOR, Approved
from extauthz.values.decisions import Hold
from extauthz.values.grants import Grant
from extauthz.values.request import RequestView

CONDITIONS = (
    "true",
    "request.truncated || true",
    "request.path.startsWith('/')",
    "false",
    "user.sub == 'u1'",
    "has(user.sub) && user.sub == 'u2'",
    "'staff' in user.groups",
    "double(request.query.amount) > 10.0",
    "request.query[?'amount'].orValue('0') == '50'",
    "request.headers['x-tier'] == 'gold'",
    "request.params.x == 'a'",
    "has(request.params.x)",
    "workload.namespace == 'shop'",
    "context.tenant == 't1'",
    "request.json.amount > 10",
    "variables.v",
    "variables.v || user.sub == 'u1'",
    "!variables.w",
    "1 / int(request.query.amount) == 0",
    "definitions.is_first(user.sub)",
    "has(user.sub) && definitions.is_first(user.sub)",
    "definitions.over(double(request.query.amount))",
    "user.sub in definitions.known || definitions.fails(request.path)",
)
SHARED = (
    definitions(
        "values",
        constants={"limit": 10.0, "first": "u1"},
        lists={"known": ["u1", "u2"]},
        functions={"over": function("amount > definitions.limit", amount="double")},
    ),
    definitions(
        "functions",
        functions={
            "is_first": function("definitions.is(who, definitions.first) && who in definitions.known", who="string"),
            "is": function("a == b", a="string", b="string"),
            "fails": function("1 / size(text) == 0 && 1 / (size(text) - 1) == 0", text="string"),
        },
    ),
)


def whole(*documents: Document) -> list[Document]:
    """Documents with the definitions that they use: to compile these takes as long as all else, and few use them."""
    uses = "definitions." in json.dumps(documents) and SHARED[0] not in documents
    return [*documents, *SHARED] if uses else [*documents]


METHODS = ("GET", "POST", "HEAD", "OPTIONS", "CONNECT")
TEMPLATES = ("/", "/a", "/{x}", "/a/{x}", "/*/b", "/a/**", "/**", "/{x}/{y}", "/a/{rest=**}", "/a/b/c")
HOSTS = ("app.example", "b.app.example", "*.app.example", "*.example", "other.test")
WORKLOADS = (
    WEB,
    "spiffe://prod.example.org/ns/shop/sa/*",
    "spiffe://prod.example.org/**",
    "spiffe://dev.example.org/**",
)
HEADER_VALUES = ("'1'", "'2'", "user.sub", "request.params.x")


def some(choices: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(choices), min_size=1, max_size=2, unique=True)


binds = st.sampled_from(("session", "action", "request", {"scope": ["request.path", "request.query.amount"]}))
blocks = {
    "allow": st.fixed_dictionaries(
        {"headers": st.dictionaries(st.sampled_from(("x-a", "x-b")), st.sampled_from(HEADER_VALUES), min_size=1)}
    ),
    "deny": st.fixed_dictionaries({}, optional={"reason": st.sampled_from(("closed", "frozen"))}),
    "challenge": st.fixed_dictionaries(
        {"factors": some(("totp", "webauthn", "oidc"))},
        optional={
            "bind": binds,
            "max_age": st.sampled_from(("1m", "5m")),
            "acr": st.sampled_from(("gold", "silver")),
            "user_verification": st.sampled_from(("required", "preferred")),
            "accept_token": st.booleans(),
        },
    ).map(lambda block: {**block, "accept_token": False} if block.get("bind") == "request" else block),
    "approve": st.fixed_dictionaries(
        {
            "approvers": st.sampled_from(
                ({"groups": ["chiefs"]}, {"subjects": ["b1", "u1"]}, {"groups": ["chiefs"], "subjects": ["b2"]})
            )
        },
        optional={
            "bind": binds,
            "min": st.sampled_from((1, 2)),
            "uses": st.sampled_from((1, 3, "unlimited")),
            "valid_for": st.sampled_from(("1m", "5m")),
            "auto": st.lists(
                st.fixed_dictionaries(
                    {"when": st.sampled_from(CONDITIONS[:12]), "answer": st.sampled_from(("approve", "deny"))},
                    optional={"reason": st.sampled_from(("too-much", "as-usual"))},
                ),
                min_size=1,
                max_size=2,
            ),
        },
    ).map(lambda block: {**block, "uses": 1} if block.get("bind") == "request" else block),
}


modes = st.sampled_from(("shadow", "enforce")) | st.fixed_dictionaries(
    {"percent": st.sampled_from((0, 0.5, 50, 99.5, 100))},
    optional={"subjects": some(("u1", "u2", WEB)), "workloads": some(WORKLOADS)},
).map(lambda stage: {"enforce_for": stage})


@st.composite
def rules(draw: st.DrawFn, effects: tuple[str, ...] = ("allow", "allow", "deny", "challenge", "approve")) -> Document:
    effect = draw(st.sampled_from(effects))
    made: Document = {"name": draw(st.sampled_from("abcdefgh")), "effect": effect}
    for field, choices in (
        ("hosts", some(HOSTS)),
        ("methods", some(METHODS)),
        ("paths", some(TEMPLATES)),
        ("workloads", some(WORKLOADS)),
    ):
        if draw(st.integers(0, 3)) == 0:
            made[field] = draw(choices)
    if draw(st.booleans()):
        made["when"] = draw(st.sampled_from(CONDITIONS))
    if effect in ("challenge", "approve") or draw(st.integers(0, 3)) == 0:
        made[effect] = draw(blocks[effect])
    if draw(st.integers(0, 5)) == 0:
        made["audit"] = "required"
    if draw(st.integers(0, 3)) == 0:
        made["mode"] = draw(modes)
    if draw(st.integers(0, 5)) == 0:
        made["expires"] = draw(st.sampled_from(("2020-01-01T00:00:00Z", "2035-01-01T00:00:00Z")))
        if effect != "allow":
            made["expires_opens"] = True
    if not {"hosts", "methods", "paths"} & set(made) and draw(st.booleans()):
        made["tcp"] = True
    return made


@st.composite
def policies(draw: st.DrawFn) -> list[Document]:
    made = []
    for name in draw(st.lists(st.sampled_from(("p", "q", "r")), min_size=1, max_size=2, unique=True)):
        own = draw(st.lists(rules(), min_size=1, max_size=5, unique_by=lambda one: one["name"]))
        spec: dict[str, Any] = {
            "variables": {
                "v": draw(st.sampled_from(("user.sub == 'u1'", "request.params.x == 'a'", "request.method == 'GET'"))),
                "w": draw(st.sampled_from(("variables.v && has(user.sub)", "has(request.params.y) || variables.v"))),
            }
        }
        if not any("tcp" in one or "hosts" in one for one in own) and draw(st.integers(0, 3)) == 0:
            spec["hosts"] = draw(some(HOSTS))
        made.append(document(name, *own, **spec))
    if draw(st.integers(0, 3)) > 0:  # without it most requests would end at step 3
        made.append(document("base", rule("all", "allow", tcp=True)))
    return whole(*made)


@st.composite
def requests(draw: st.DrawFn) -> RequestView:
    if draw(st.integers(0, 9)) == 0:
        return tcp(source_ip="192.0.2.7")
    host = draw(st.sampled_from(("app.example", "b.app.example", "c.b.app.example", "other.test")))
    method = draw(st.sampled_from(METHODS))
    path = draw(st.sampled_from(("/", "/a", "/b", "/a/b", "/a/a", "/b/b", "/a/b/c", "/x/y/z", "/a/")))
    path += draw(st.sampled_from(("", "?amount=5", "?amount=50", "?amount=NaN", "?amount=0", "?amount=5&amount=50")))
    if draw(st.integers(0, 9)) == 0:
        method, path = draw(st.sampled_from(pathless(host)))
    body = draw(st.sampled_from((None, b"", b'{"amount": 5}', b'{"amount": 50}', b'{"amount": 5, "amount": 50}')))
    return http(
        path,
        method=method,
        host=host,
        headers={
            "content-type": "application/json",
            **draw(st.sampled_from(({}, {"x-tier": "gold"}, {"X-Tier": ["gold", "none"]}))),
        },
        body=body,
        context=draw(st.sampled_from(({}, {"tenant": "t1"}))),
    )


identities = st.builds(
    caller,
    sub=st.sampled_from((None, "u1", "u1", "u2")),
    workload=st.sampled_from((None, WEB, "spiffe://prod.example.org/ns/pay/sa/web", "spiffe://dev.example.org/x")),
    groups=st.sampled_from(((), ("staff",))),
    auth_time=st.sampled_from((None, int(NOW) - 30, int(NOW) - 100, int(NOW) - 1000)),
    proven_factors=st.sampled_from((frozenset(), frozenset({"totp"}), frozenset({"webauthn"}))),
    proven_acr=st.sampled_from((frozenset(), frozenset({"gold"}))),
)
NO_FLAW: dict[str, Any] = {}
flaws: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    (
        NO_FLAW,
        NO_FLAW,
        NO_FLAW,
        {"session": "s2"},
        {"holder": "cookie:h2"},
        {"binding": "action:nothing"},
        {"factor": "hwk"},
        {"factor": "user"},
        {"factor": "mfa"},
        {"factor": "mfa gold"},
        {"issued_at": NOW - 100},
        {"issued_at": NOW - 1000},
        {"expires_at": NOW},
        {"uses": 0},
        {"uses": 1},
        {"subject": caller(sub="u9").subject},
    )
)


votes = st.lists(
    st.builds(
        vote,
        st.sampled_from(("b1", "b2", "b3")),
        person=st.sampled_from(("p1", "p2", "u1")),
        groups=st.sampled_from((("chiefs",), ("chiefs",), ())),
    ),
    max_size=3,
    unique_by=lambda one: one.approver.subject.id,
)


def approvals(hold: Hold, data: st.DataObject) -> tuple[Grant, ...]:
    """An approval for each thing that is asked, or one that is not quite for it, or not quite given."""
    return tuple(
        approval(
            **{
                "binding": demand.binding,
                "id": f"a{number}",
                "subject": demand.subject,
                "session": demand.session,
                **data.draw(flaws),
                "factor": APPROVAL_FACTOR,
                "approval": Approved(id=f"a{number}", opened_at=NOW - 30, votes=tuple(data.draw(votes))),
            }
        )
        for number, demand in enumerate(hold.demands)
    )
