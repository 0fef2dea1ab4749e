"""Sources over gRPC: what they see of a question, and what becomes of odd answers."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from attributes.asking_sources import (
    Answer,
    GrpcServer,
    a_caller,
    a_request,
    answering,
    asking,
    failing,
    serving,
    source,
)
from google.protobuf.json_format import MessageToDict

from extauthz._pb.extauthz.v1.attributes_pb2 import GetAttributesRequest, GetAttributesResponse

FIELDS = {"tier": "string", "limit": "int", "tags": "list(string)", "about": "dyn", "none": "bool"}


def over_grpc(server: GrpcServer, **fields: Any) -> dict[str, object]:
    return source(**{"grpc": {"url": f"http://127.0.0.1:{server.port}"}, **fields})


def test_what_is_asked_travels_as_it_is_and_what_is_declared_is_told() -> None:
    asked = {"user": "user.sub", "about": "{'n': 1, 'x': [true, null, 0.5], 'path': request.path}"}
    told = {"tier": "gold", "limit": 5000, "tags": ["a"], "about": {"n": 1, "x": None}, "none": None, "other": 1}
    with serving(answering(**told)) as server:

        async def scene() -> None:
            async with asking(over_grpc(server, ask=asked, fields=FIELDS)) as world:
                assert await world.told() == {
                    "tier": "gold",
                    "limit": 5000,
                    "tags": ["a"],
                    "about": {"n": 1.0, "x": None},
                }

        asyncio.run(scene())
        (got,) = server.asked
    assert got.source == "crm"
    assert MessageToDict(got.asked) == {"user": "alice", "about": {"n": 1, "x": [True, None, 0.5], "path": "/x"}}


def test_a_unix_socket_is_asked_too(tmp_path: Path) -> None:
    with serving(answering(tier="gold"), address=f"unix:{tmp_path}/crm.sock"):

        async def scene() -> None:
            async with asking(source(grpc={"url": f"unix:{tmp_path}/crm.sock"})) as world:
                assert await world.told() == {"tier": "gold"}

        asyncio.run(scene())


def test_the_token_goes_along(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    with serving(answering(tier="gold")) as server:

        async def scene() -> None:
            async with asking(over_grpc(server, token="token"), base=tmp_path) as world:
                await world.told()
                (tmp_path / "token").write_text("two\n")
                await world.told()

        asyncio.run(scene())
        assert [one["authorization"] for one in server.metadata] == ["Bearer one", "Bearer two"]


def test_not_found_says_that_nothing_is_known() -> None:
    with serving(failing(grpc.StatusCode.NOT_FOUND)) as server:

        async def scene() -> None:
            async with asking(over_grpc(server)) as world:
                assert await world.told() == {}
                assert world.results == {"absent": 1}

        asyncio.run(scene())


def no_value(_: GetAttributesRequest, __: grpc.ServicerContext) -> GetAttributesResponse:
    response = GetAttributesResponse()
    response.attributes.fields["tier"].SetInParent()
    return response


def no_number(_: GetAttributesRequest, __: grpc.ServicerContext) -> GetAttributesResponse:
    response = GetAttributesResponse()
    response.attributes.fields["limit"].number_value = float("nan")
    return response


UNUSABLE: dict[str, Answer] = {
    "another type": answering(tier=5),
    "no value": no_value,
    "NaN": no_number,
    "refused": failing(grpc.StatusCode.PERMISSION_DENIED),
    "our token is wrong": failing(grpc.StatusCode.UNAUTHENTICATED),
    "our fault": failing(grpc.StatusCode.INVALID_ARGUMENT),
    "another service": failing(grpc.StatusCode.UNIMPLEMENTED),
}


@pytest.mark.parametrize("odd", UNUSABLE.values(), ids=UNUSABLE)
def test_an_answer_that_is_none_tells_nothing_and_silences_the_source_for_nobody_else(odd: Answer) -> None:
    with serving(odd) as server:

        async def scene() -> None:
            async with asking(over_grpc(server, breaker={"failures": 1, "pause": "1h"})) as world:
                assert await world.told() is None
                server.answer = answering(tier="gold")
                assert await world.told() == {"tier": "gold"}
                assert world.results == {"unusable": 1, "answered": 1}

        asyncio.run(scene())


def crashing(_: GetAttributesRequest, __: grpc.ServicerContext) -> GetAttributesResponse:
    raise RuntimeError("a bug of the source")


FAILED: dict[str, Answer] = {
    "overloaded": failing(grpc.StatusCode.RESOURCE_EXHAUSTED),
    "away": failing(grpc.StatusCode.UNAVAILABLE),
    "broken": failing(grpc.StatusCode.INTERNAL),
    "crashed": crashing,
    "too long": answering(tier="x" * 70_000),
}


@pytest.mark.parametrize("odd", FAILED.values(), ids=FAILED)
def test_a_source_that_fails_is_not_asked_for_a_while_and_then_tried(odd: Answer) -> None:
    with serving(odd) as server:

        async def scene() -> None:
            async with asking(over_grpc(server, breaker={"failures": 2, "pause": "10s"})) as world:
                assert [await world.told() for _ in range(3)] == [None] * 3
                assert world.results == {"failed": 2, "turned-away": 1}
                server.answer = answering(tier="gold")
                world.elapsed[0] = 10.0
                assert await world.told() == {"tier": "gold"}

        asyncio.run(scene())
        assert len(server.asked) == 3


def test_whoever_does_not_answer_in_time_has_not_answered() -> None:
    with serving(answering()) as server:

        def hanging(_: GetAttributesRequest, __: grpc.ServicerContext) -> GetAttributesResponse:
            server.held.wait(30)
            return GetAttributesResponse()

        server.answer = hanging

        async def scene() -> None:
            async with asking(over_grpc(server, timeout="200ms")) as world:
                async with asyncio.timeout(20):
                    assert await world.told() is None
                assert world.results == {"failed": 1}
            async with asking(over_grpc(server, timeout="30s")) as world:
                async with asyncio.timeout(20):
                    assert (await world.fetched(patience=0.1)).attributes == {}

        asyncio.run(scene())


def test_a_source_that_is_away_is_found_again_when_it_is_back() -> None:
    with serving(answering(tier="gold")) as server:
        port = server.port

    async def scene() -> None:
        async with asking(over_grpc(server, breaker={"failures": 1000})) as world:
            assert await world.told() is None
            with serving(answering(tier="gold"), address=f"127.0.0.1:{port}"):
                while await world.told() is None:  # noqa: ASYNC110 - what it waits for is the source
                    await asyncio.sleep(0.05)

    asyncio.run(scene())


def test_whole_numbers_that_are_not_the_same_as_doubles_are_not_asked() -> None:
    with serving(answering(tier="gold")) as server:

        async def scene() -> None:
            async with asking(over_grpc(server, ask={"id": "int(user.sub)"})) as world:
                assert await world.told(str(2**53)) == {"tier": "gold"}
                assert await world.told(str(2**53 + 1)) is None
                request, caller = a_request(), a_caller("7")
                told = await world.sources.fetch(frozenset({"crm"}), request=request, identity=caller, now=0.0)
                assert told.attributes == {"crm": {"tier": "gold"}}

        asyncio.run(scene())
        assert [one.asked["id"] for one in server.asked] == [float(2**53), 7.0]


def test_a_source_that_wants_a_certificate_is_shown_ours_and_none_is_asked_that_we_do_not_trust(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own = authority.issue_cert("extauthz.example.com")
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "own.pem"))
    own.private_key_pem.write_to_path(str(tmp_path / "own.key"))
    theirs = authority.issue_cert("localhost")
    credentials = grpc.ssl_server_credentials(
        [(theirs.private_key_pem.bytes(), theirs.cert_chain_pems[0].bytes())],
        root_certificates=authority.cert_pem.bytes(),
        require_client_auth=True,
    )
    shown = {"client": {"certificate": "own.pem", "key": "own.key"}}
    with serving(answering(tier="gold"), credentials) as server:
        url = {"grpc": {"url": f"https://localhost:{server.port}"}}

        async def scene() -> None:
            async with asking(over_grpc(server, **url, ca="ca.pem", **shown), base=tmp_path) as world:
                assert await world.told() == {"tier": "gold"}
            async with asking(over_grpc(server, **url, ca="ca.pem"), base=tmp_path) as world:
                assert await world.told() is None
            async with asking(over_grpc(server, **url, **shown), base=tmp_path) as world:
                assert await world.told() is None

        asyncio.run(scene())
        assert len(server.asked) == 1
