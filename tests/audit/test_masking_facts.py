"""What records say of facts and of the risk: the words of policies, never a value that a request or a source gave."""

import string
from types import SimpleNamespace

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from policy.making import NOW, caller, compiled, document, evaluate, http, risk_model, rule, signal
from replay.recording import recorded

from extauthz.policy.asking import ask
from extauthz.values.facts import LastPlace, Local
from extauthz.values.grants import Facts

secrets = st.text(string.ascii_letters + string.digits + "._~-", min_size=11, max_size=80).map(
    lambda text: "k~7" + text
)
POLICIES = compiled(
    risk_model(
        signals={
            "often": signal("rate(request.headers['x-api-key'], duration('1m')) > 3"),
            "new": signal("!seen(request.query.value)"),
            "odd": signal("int(request.query.value) > 3"),
            "much": signal("variables.size > 2.0 * baseline('size', request.headers['x-api-key']).p95", half_life="1h"),
            "unsafe": signal("attributes.mdm.serial == request.query.value"),
            "other": signal("user.claims[request.query.value] == 1"),
            "far": signal("travel.speed_kmh > 900.0 || device.id == 'd'"),
            "told": signal("reported.risk_level == 'HIGH'"),
        },
        variables={"size": "double(request.query.number)"},
    ),
    document("p", rule("a", "allow", when="risk.score < 5.0"), rule("g", "deny", when="seen(user.claims.secret)")),
)


@given(secrets, st.integers(10**9, 10**12))
def test_no_value_behind_a_fact_or_a_signal_is_in_a_record(secret: str, figure: int) -> None:
    number = f"7{figure}7"
    request = http(f"/?value={secret}&number={number}", headers={"x-api-key": secret})
    identity = caller(sub="u1", claims={"secret": secret})
    local = Facts(
        device={"id": secret, "known": True, "age": 60.0},
        attributes={"mdm": {"serial": secret}},
        reported={"risk_level": "LOW"},
        local=Local(geo=lambda _: {"country": "SE", "latitude": 59.0, "longitude": 18.0}),
    )
    inquiry = ask(POLICIES.candidates(request, identity), request=request, identity=identity, facts=local, now=NOW)
    usual = SimpleNamespace(count=9, p50=float(number), p90=float(number), p95=float(number), p99=float(number))
    said = {
        "rate": 5,
        "seen": False,
        "baseline": usual,
        "place": LastPlace(latitude=-33.0, longitude=151.0, at=NOW - 3600.0),
        "raised": {},
    }
    assert {one.kind for one in inquiry.questions} == said.keys()
    facts = msgspec.structs.replace(local, answers={one: said[one.kind] for one in inquiry.questions})
    evaluation = evaluate(POLICIES, request, identity, facts=facts)
    line = recorded(evaluation, request, identity, inquiry=inquiry, facts=facts)
    written = msgspec.json.encode(line).decode()
    assert secret not in written
    assert number not in written
    assert line.facts is not None
    assert line.facts.attributes == {"mdm": ["serial"]}
    assert line.facts.rates == {"risk:default: rate(request.headers['x-api-key'], duration('1m'))": 5}
    assert {one.name for one in line.risk[0].signals if one.state == "error"} == {"odd", "other"}
