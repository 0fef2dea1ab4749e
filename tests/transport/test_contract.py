"""The contract of both transports: whoever calls can't tell which one answers."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import pytest
from checking import told
from google.protobuf import text_format
from grpc_health.v1 import health_pb2
from patience import comes
from publishing import Page, Site
from serving import Served
from transport.calling import OPEN, as_user, check, decided
from transport.raw_calls import Call, Outcome, call, connected, framed, pings_answered

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport.grpcio import PING_INTERVAL_MS
from extauthz.transport.methods import CHECK, HEALTH_CHECK, HEALTH_WATCH, MAX_MESSAGE, SERVICE
from extauthz.wire.compose import check_request

ONE_MESSAGE = f"\"b'{CHECK}'\" requires exactly one request message."
DISABLED = "Compression algorithm 'gzip' is disabled."
BAD_TIMEOUT = "Error parsing 'grpc-timeout' metadata"
BAD_ENCODING = "Error parsing 'grpc-encoding' metadata"


def asked(service: str) -> bytes:
    request: bytes = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    return framed(request)


def timed(text: str) -> Call:
    return Call(pieces=[framed(OPEN)], more_headers=[("grpc-timeout", text)])


def encoded(name: str, *, flag: int = 1) -> Call:
    return Call(pieces=[framed(OPEN, flag=flag)], more_headers=[("grpc-encoding", name)])


WHOLE = framed(OPEN)
ANSWERED = {
    "in one piece": Call(pieces=[WHOLE]),
    "in pieces, one inside of the prefix": Call(pieces=[WHOLE[:3], WHOLE[3:40], WHOLE[40:]]),
    "byte by byte": Call(pieces=[WHOLE[index : index + 1] for index in range(len(WHOLE))]),
    "its end in a frame of its own": Call(pieces=[WHOLE, b""]),
    "not ended": Call(pieces=[WHOLE], ends=False),
    "with another message behind it": Call(pieces=[WHOLE + WHOLE]),
    "with something else behind it": Call(pieces=[WHOLE + b"\0\0"]),
    "said to be as it is": encoded("identity", flag=0),
    "with a deadline": timed("5S"),
    "with a deadline of milliseconds": timed("5000m"),
    "with a deadline beyond all": timed("99999999H"),
    "with a type of content": Call(
        pieces=[WHOLE], headers=[("content-type", "application/grpc+proto"), ("te", "trailers")]
    ),
    "with much metadata": Call(pieces=[WHOLE], more_headers=[("x-long", "x" * 20_000)]),
    "with other headers": Call(pieces=[WHOLE], more_headers=[("x-request-id", "1"), ("user-agent", "grpc-c++/1.0")]),
    "with a time of coming of its own": Call(pieces=[WHOLE], more_headers=[("x-extauthz-arrived", "1")] * 2),
}
REFUSED = {
    "nothing": (Call(), 12, ONE_MESSAGE),
    "an empty body": (Call(pieces=[b""]), 12, ONE_MESSAGE),
    "a piece of a prefix": (Call(pieces=[b"\0\0"]), 12, ONE_MESSAGE),
    "a message that is cut off": (Call(pieces=[WHOLE[:-1]]), 12, ONE_MESSAGE),
    "a length beyond the body": (Call(pieces=[framed(OPEN, length=len(OPEN) + 10)]), 12, ONE_MESSAGE),
    "a flag and no encoding": (
        Call(pieces=[framed(OPEN, flag=1)]),
        13,
        "Compression bit set but no encoding configured",
    ),
    "compressed": (encoded("gzip"), 12, DISABLED),
    "perhaps compressed": (encoded("gzip", flag=0), 12, DISABLED),
    "compressed by nobody knows what": (encoded("snappy"), 13, BAD_ENCODING),
    "a length above all": (
        Call(pieces=[framed(b"x", length=MAX_MESSAGE + 1)], ends=False),
        8,
        f"SERVER: Received message larger than max ({MAX_MESSAGE + 1} vs. {MAX_MESSAGE})",
    ),
    "no time at all": (timed("0S"), 4, "Deadline Exceeded"),
    "a time without a unit": (timed("5"), 13, BAD_TIMEOUT),
    "a time of another unit": (timed("1s"), 13, BAD_TIMEOUT),
    "a time before now": (timed("-1S"), 13, BAD_TIMEOUT),
    "an empty time": (timed(""), 13, BAD_TIMEOUT),
    "another method": (Call(pieces=[WHOLE], path=f"/{SERVICE}/Chek"), 12, "Method not found!"),
    "another service": (Call(pieces=[WHOLE], path="/a.B/Check"), 12, "Method not found!"),
    "a query": (Call(pieces=[WHOLE], path=f"{CHECK}?a=b"), 12, "Method not found!"),
    "a slash": (Call(pieces=[WHOLE], path=f"{CHECK}/"), 12, "Method not found!"),
    "an escape": (Call(pieces=[WHOLE], path=CHECK.replace("C", "%43")), 12, "Method not found!"),
    "a path that is not UTF-8": (Call(pieces=[WHOLE], path="/%ff"), 12, "Method not found!"),
    "an unknown service's health": (Call(pieces=[asked("nope")], path=HEALTH_CHECK), 5, ""),
    "a malformed question of health": (
        Call(pieces=[framed(b"\xff\xff")], path=HEALTH_CHECK),
        13,
        "Exception deserializing request!",
    ),
    "a malformed watch of health": (
        Call(pieces=[framed(b"\xff\xff")], path=HEALTH_WATCH),
        13,
        "Exception deserializing request!",
    ),
}


@pytest.mark.parametrize("case", ANSWERED)
def test_a_message_is_answered_however_it_comes(served: Served, case: str) -> None:
    outcome = call(served.said["grpc"], ANSWERED[case])
    assert (outcome.status, outcome.details, outcome.ended) == (0, "", True)
    (message,) = outcome.messages
    assert told(CheckResponse.FromString(message))["decision"] == "allow"
    assert outcome.headers[":status"] == "200"
    assert outcome.headers["content-type"] == "application/grpc"
    assert outcome.headers["grpc-accept-encoding"] == "identity"


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_call_gets_a_status(served: Served, case: str) -> None:
    sent, status, details = REFUSED[case]
    outcome = call(served.said["grpc"], sent)
    assert (outcome.status, outcome.details) == (status, details)
    assert [message for message in outcome.messages if message] == []
    assert outcome.headers[":status"] == "200"


UNSPOKEN = {
    "another method of HTTP": Call(method="GET"),
    "no trailers": Call(pieces=[WHOLE], headers=[]),
}


@pytest.mark.parametrize("case", UNSPOKEN)
def test_what_does_not_speak_grpc_gets_no_answer(served: Served, case: str) -> None:
    assert call(served.said["grpc"], UNSPOKEN[case]).status != 0


def test_http_1_is_not_spoken(served: Served) -> None:
    with connected(served.said["grpc"]) as connection:
        connection.sendall(f"POST {CHECK} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(WHOLE)}\r\n\r\n".encode() + WHOLE)
        received = b""
        with suppress(TimeoutError, ConnectionError):
            while piece := connection.recv(65_536):
                received += piece
    assert b"HTTP/1.1 200" not in received
    assert b"extauthz" not in received


def test_a_call_that_is_not_sent_to_its_end_waits_and_holds_nobody_up(served: Served) -> None:
    assert call(served.said["grpc"], Call(pieces=[WHOLE[:40]], ends=False)) == Outcome()
    assert call(served.said["grpc"], Call(pieces=[WHOLE])).status == 0


def test_a_caller_may_ask_often_whether_a_connection_without_calls_is_alive(served: Served) -> None:
    """gRPC by itself hangs up at the fourth time in five minutes."""
    assert pings_answered(served.said["grpc"], times=6, rest=PING_INTERVAL_MS / 1000 * 1.5) == 6


@pytest.mark.parametrize("size", [65_535, 65_536, 1024 * 1024, MAX_MESSAGE])
def test_long_messages_are_taken_in_and_denied_in_so_many_words(served: Served, size: int) -> None:
    response = CheckResponse.FromString(check(served)(bytes(size), timeout=20))
    assert told(response)["reason"] == "malformed-check"


def test_longer_ones_are_refused_by_grpc_itself(served: Served) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        check(served)(bytes(MAX_MESSAGE + 1), timeout=20)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_many_calls_at_a_time_are_answered_each_with_its_own(served: Served) -> None:
    ask = check(served)

    def path_of(number: int) -> tuple[str, str]:
        path = "/open" if number % 2 else f"/closed/{number}"
        response = CheckResponse.FromString(
            ask(check_request(host="example.com", path=path, id=str(number)), timeout=20)
        )
        said = told(response)
        return path, "overloaded" if said["reason"] == "overloaded" else said["decision"]

    with ThreadPoolExecutor(32) as callers:
        answers = list(callers.map(path_of, range(400)))
    busy = {"overloaded"}  # on a machine that has other work to do
    assert {decision for path, decision in answers if path == "/open"} - busy == {"allow"}
    assert {decision for path, decision in answers if path != "/open"} - busy == {"deny"}


@pytest.mark.parametrize(
    ("path", "reason"), [("/users", "allowed"), ("/proven", "proof-required"), ("/recorded", "allowed")]
)
def test_what_must_wait_for_others_is_answered_too(served: Served, path: str, reason: str) -> None:
    assert decided(served, as_user(path)) == reason


def test_what_a_rule_requires_a_record_of_is_on_disk_before_it_is_answered(served: Served) -> None:
    response = CheckResponse.FromString(check(served)(as_user("/recorded"), timeout=10))
    lines = [json.loads(line) for line in (served.folder / "audit.jsonl").read_text().splitlines()]
    recorded = [line["decision_id"] for line in lines if "event" not in line]
    assert told(response)["decision_id"] in recorded


@pytest.fixture
def held(site: Site, served: Served) -> Iterator[threading.Event]:
    """The issuer answers when this is set."""
    before, held = site.pages["/introspect"], threading.Event()
    site.pages["/introspect"] = Page(body=before.body, headers=before.headers, held=held)
    yield held
    held.set()
    site.pages["/introspect"] = before
    # Who did not answer in time is not asked for a while, which is no affair of the next test.
    assert comes(lambda: decided(served, as_user("/users")) == "allowed")


def test_a_caller_gets_a_denial_before_its_deadline(served: Served, held: threading.Event) -> None:
    answers = []
    for _ in range(10):  # a machine that is busy with other work may be late for one
        with suppress(grpc.RpcError):
            answers.append(decided(served, as_user("/users"), timeout=0.5))
    assert not held.is_set()
    assert set(answers) == {"issuer-unavailable"}


def test_those_who_wait_hold_nobody_up(served: Served, held: threading.Event) -> None:
    def all_are_allowed() -> bool:
        held.clear()
        with ThreadPoolExecutor(24) as callers:  # more than decide at a time
            waiting = [callers.submit(decided, served, as_user("/users")) for _ in range(24)]
            assert [decided(served, OPEN) for _ in range(20)] == ["allowed"] * 20
            held.set()
            return {one.result() for one in waiting} == {"allowed"}

    # A machine that is busy with other work may not have asked 20 times before the issuer is given up.
    assert comes(all_are_allowed)


def test_a_caller_that_goes_away_harms_nobody(served: Served, held: threading.Event) -> None:
    for _ in range(20):
        waiting = check(served).future(as_user("/users"), timeout=10)
        time.sleep(0.01)
        waiting.cancel()
    held.set()
    assert comes(lambda: decided(served, as_user("/users")) == "allowed")


def status(message: bytes) -> int:
    return health_pb2.HealthCheckResponse.FromString(message).status


def test_health_is_told(served: Served) -> None:
    with grpc.insecure_channel(served.said["grpc"]) as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_CHECK)
        watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(HEALTH_WATCH)
        for service in ("", SERVICE):
            request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
            assert status(ask(request, timeout=5)) == health_pb2.HealthCheckResponse.SERVING
            watched = watch(request, timeout=5)
            assert status(next(watched)) == health_pb2.HealthCheckResponse.SERVING
            watched.cancel()
        unknown = watch(health_pb2.HealthCheckRequest(service="nope").SerializeToString(), timeout=5)
        assert status(next(unknown)) == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        unknown.cancel()
        listing: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/List")
        with pytest.raises(grpc.RpcError) as refused:
            listing(b"", timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


ALIKE: dict[str, Callable[[], bytes]] = {
    "allowed": lambda: OPEN,
    "denied": lambda: check_request(host="example.com", path="/no", source_ip="203.0.113.9", id="r-3"),
    "known": lambda: as_user("/users"),
    "malformed": lambda: b"\xff\xff",
    "empty": lambda: b"",
    "ambiguous": lambda: check_request(host="example.com", path="/a/../b", id="r-4"),
}
SAID: dict[str, str] = {}


@pytest.mark.parametrize("case", ALIKE)
def test_both_say_the_same(served: Served, case: str) -> None:
    response = CheckResponse.FromString(check(served)(ALIKE[case](), timeout=10))
    said = text_format.MessageToString(response).replace(told(response)["decision_id"], "ID")
    assert SAID.setdefault(case, said) == said
