"""Checks that are refused unread: their answers are made in another way than all others, and must be no other."""

from checking import POLICY, Bench, told

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.errors import Overloaded
from extauthz.values.decisions import denial
from extauthz.wire.encode import encode

BUSY = Overloaded("its turn would have come too late")


def test_the_answer_is_as_any_denial_of_its_reason_byte_for_byte(bench: Bench) -> None:
    for _ in range(20):  # ids get longer at 16
        payload = bench.checker.turn_away(BUSY)
        usual = encode(
            denial("overloaded"),
            request=None,
            decision_id=told(CheckResponse.FromString(payload))["decision_id"],
            revision=bench.checker.ruling.policies.revision,
            settable=frozenset(),
            schemes=bench.checker.ruling.resolver.schemes,
        )
        assert payload == usual


def test_no_two_answers_have_one_id(bench: Bench) -> None:
    ids = {told(CheckResponse.FromString(bench.checker.turn_away(BUSY)))["decision_id"] for _ in range(300)}
    assert len(ids) == 300


def test_after_a_reload_it_names_the_new_revision(bench: Bench) -> None:
    bench.checker.turn_away(BUSY)
    bench.decide_by(POLICY + "# other\n    - {name: more, paths: ['/more'], effect: allow}\n")
    said = told(CheckResponse.FromString(bench.checker.turn_away(BUSY)))
    assert (said["reason"], said["revision"]) == ("overloaded", bench.checker.ruling.policies.revision)


def test_it_is_recorded_with_its_trace(bench: Bench) -> None:
    trace = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
    said = told(CheckResponse.FromString(bench.checker.turn_away(BUSY, trace=trace)))
    record = bench.records.kept[-1]
    assert (record.decision_id, record.decision.reason) == (said["decision_id"], "overloaded")
    assert (record.trace, record.detail) == (trace, str(BUSY))
