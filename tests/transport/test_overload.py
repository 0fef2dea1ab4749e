"""More calls than can be decided, on both transports: each gets an answer of ours, and then all is as before."""

import json
from collections import Counter

import pytest
from checking import told
from serving import Served
from transport.calling import DEAR, OPEN, check, decided

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.wire.compose import check_request

BURST = 400
RECORDED = check_request(host="example.com", path="/recorded", source_ip="203.0.113.9", id="r-6")


def burst(served: Served) -> list[CheckResponse]:
    """What all get who call at once for what takes long; an error of gRPC is raised."""
    ask = check(served)
    calls = [ask.future(DEAR, timeout=30) for _ in range(BURST)]
    return [CheckResponse.FromString(call.result()) for call in calls]


def reasons(answers: list[CheckResponse]) -> Counter[str]:
    return Counter(told(answer)["reason"] for answer in answers)


def test_each_call_of_a_burst_is_decided_or_refused_in_so_many_words(served: Served) -> None:
    answers = burst(served)
    assert set(reasons(answers)) == {"allowed", "overloaded"}
    refused = next(answer for answer in answers if told(answer)["reason"] == "overloaded")
    denied = refused.denied_response
    headers = {option.header.key: option.header.value for option in denied.headers}
    assert (refused.status.code, denied.status.code, headers["retry-after"]) == (14, 503, "1")
    assert headers["x-extauthz-decision-id"] == told(refused)["decision_id"]
    assert json.loads(denied.body)["reason"] == "overloaded"


def test_after_a_burst_a_call_is_decided_as_before_it(served: Served) -> None:
    burst(served)
    assert [decided(served, request) for request in (OPEN, DEAR, OPEN)] == ["allowed"] * 3


def test_a_refusal_leaves_a_record_as_any_decision(served: Served) -> None:
    refused = {told(answer)["decision_id"] for answer in burst(served) if told(answer)["reason"] == "overloaded"}
    recorded = CheckResponse.FromString(check(served)(RECORDED, timeout=10))  # behind them
    written = [json.loads(line) for line in (served.folder / "audit.jsonl").read_text().splitlines()]
    lines = [line for line in written if "event" not in line]
    assert told(recorded)["decision_id"] in {line["decision_id"] for line in lines}
    assert refused <= {line["decision_id"] for line in lines if line["reason"] == "overloaded"}


def test_each_refusal_is_counted(served: Served, request: pytest.FixtureRequest) -> None:
    transport = request.node.callspec.params["served"]
    metric = f'extauthz_overload_refusals_total{{reason="turn",transport="{transport}"}}'
    before = served.metric(metric)
    refused = reasons(burst(served))["overloaded"]
    assert served.metric(metric) - before == refused > 0
