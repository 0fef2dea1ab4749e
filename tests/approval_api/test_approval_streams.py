"""Approvals as they change, over server-sent events and over gRPC: what is told, to whom, and until when."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import httpx
import jsonschema
import pytest
from approval_api.answering_people import ANNA, BEN, PEOPLE, STRANGER, Desk, token

from extauthz._pb.extauthz.v1.approvals_pb2 import APPROVED, PENDING, Approval, ApprovalFilter, WatchApprovalsRequest
from extauthz.identity.revocations import Revocation
from extauthz.values.identity import Subject
from extauthz.web import approval_watch
from extauthz.web.approval_openapi import OPENAPI


@contextmanager
def events(desk: Desk, query: str = "", who: str = ANNA) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    """The events of a stream, each with its name."""
    headers = {"authorization": f"Bearer {who}"}
    url = f"{desk.url}/v1/approvals/events?{query}"
    with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _told(answer.iter_lines())


def _told(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            content = json.loads(line.removeprefix("data: "))
            schema = OPENAPI["components"]["schemas"]["Approval" if name == "approval" else "Problem"]
            jsonschema.Draft202012Validator({**schema, "components": OPENAPI["components"]}).validate(content)
            yield name, content


def test_a_stream_tells_what_is_there_and_then_every_change(desk: Desk) -> None:
    first, second = desk.opened().id, desk.opened("one").id
    with events(desk, "status=pending") as told:
        assert [next(told)[1]["id"] for _ in range(2)] == [first, second]
        desk.vote(first)
        name, voted = next(told)
        assert (name, voted["id"], voted["counted"]["approve"]) == ("approval", first, 1)
        third = desk.opened().id
        assert next(told)[1]["id"] == third
        desk.vote(first, token=BEN)
        approved = next(told)[1]
        assert (approved["id"], approved["status"]) == (first, "approved")
        # It is pending no more: what becomes of it now is nothing that was asked for.
        desk.ask("POST", f"/v1/approvals/{first}/revoke", json={})
        desk.vote(second, reason="yes")
        assert next(told)[1]["id"] == second


def test_a_stream_tells_nobody_what_does_not_concern_them(desk: Desk) -> None:
    desk.opened()
    with events(desk, who=STRANGER) as told:
        hidden = desk.opened().id
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        desk.ask("POST", "/v1/absences", json={"until": until, "delegate": "stranger"})
        seen = desk.opened().id
        told_first = next(told)[1]["id"]
        assert told_first == seen != hidden


def test_a_stream_ends_with_its_token(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval_watch, "BEAT", 0.1)
    with events(desk) as told:
        desk.opened()
        assert next(told)[0] == "approval"
        now = time.time()
        block = Revocation(kind="block", subject=Subject(PEOPLE, "anna"), at=now)
        desk.run(desk.store.put_revocation(block, now=now))
        name, problem = next(told)
        assert (name, problem["reason"]) == ("end", "subject-blocked")
        with pytest.raises(StopIteration):
            next(told)
    short = token("ben", "treasury", exp=int(time.time()) + 2)
    with events(desk, who=short) as told:
        assert next(told)[0] == "approval"
        name, problem = next(told)
        assert (name, problem["reason"]) == ("end", "unauthenticated")


def test_nobody_takes_the_streams_of_all_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval_watch, "MOST_OF_ONE", 1)
    desk.opened()
    with events(desk) as told:
        next(told)
        refused = desk.ask("GET", "/v1/approvals/events")
        assert (refused.status_code, refused.json()["reason"]) == (503, "too-many-streams")
        assert int(refused.headers["retry-after"]) > 0
        with events(desk, who=BEN) as other:
            assert next(other)[0] == "approval"
    deadline = time.monotonic() + 20
    while True:
        headers = {"authorization": f"Bearer {ANNA}"}
        with httpx.stream("GET", f"{desk.url}/v1/approvals/events", headers=headers, timeout=30) as answer:
            if answer.status_code == 200:
                break
        assert time.monotonic() < deadline


def test_a_call_of_grpc_is_told_the_same(desk: Desk) -> None:
    first = desk.opened().id
    with desk.channel() as channel:
        watch: grpc.UnaryStreamMultiCallable[WatchApprovalsRequest, Approval] = channel.unary_stream(
            "/extauthz.v1.Approvals/Watch",
            request_serializer=WatchApprovalsRequest.SerializeToString,
            response_deserializer=Approval.FromString,
        )
        request = WatchApprovalsRequest(filter=ApprovalFilter(status=[PENDING]))
        told = watch(request, metadata=(("authorization", f"Bearer {ANNA}"),), timeout=30)
        assert next(told).id == first
        desk.vote(first)
        assert next(told).counted.approve == 1
        desk.vote(first, token=BEN)
        assert next(told).status == APPROVED
        told.cancel()
