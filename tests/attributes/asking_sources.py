"""Sources as a configuration has them, requests to ask about, and a gRPC server that answers as a test says."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from pydantic import TypeAdapter

from extauthz._pb.extauthz.v1.attributes_pb2 import GetAttributesRequest, GetAttributesResponse
from extauthz.lookup.attributes.config import AttributeSettings, AttributesSettings
from extauthz.lookup.attributes.sources import AttributeSources, Fetched
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.request import RequestView
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode

NOW = 1_800_000_000.0
NAME = "crm"
ISSUER = "https://idp.example.com"


def sources_of(*written: Mapping[str, object]) -> tuple[AttributeSettings, ...]:
    """The `attributes:` list with these."""
    adapter: TypeAdapter[tuple[AttributeSettings, ...]] = TypeAdapter(AttributesSettings)
    return adapter.validate_python(list(written))


def source(**fields: object) -> dict[str, object]:
    """One that tells the tier of a user; without a cache, so that every request asks."""
    return {
        "name": NAME,
        "ask": {"user": "user.sub"},
        "fields": {"tier": "string"},
        "cache": {"ttl": "0s"},
        "timeout": "5s",
        **fields,
    }


def over_http(url: str, **fields: object) -> dict[str, object]:
    return source(**{"http": {"url": url + "/users/{user}"}, **fields})


def a_request(path: str = "/x", **headers: str) -> RequestView:
    return decode(check_request(host="shop.example.com", path=path, headers=headers, source_ip="192.0.2.1"))


def a_caller(sub: str | None = "alice", workload: str | None = None) -> Identity:
    user = None if sub is None else User(sub=sub, iss=ISSUER, verified_by="idp", claims={"tenant": "t1"})
    found = None
    if workload is not None:
        found = Workload(id=workload, trust_domain="example.org", path="/w", verified_by="source_principal")
    return Identity(workload=found, user=user, session=None, holders=frozenset(), client_ip="192.0.2.1")


@dataclass
class Asking:
    """Sources that are asked, in an event loop that runs; `elapsed` is what they take for their clock."""

    sources: AttributeSources
    elapsed: list[float]

    async def fetched(self, sub: str | None = "alice", *names: str, patience: float | None = None) -> Fetched:
        """What they tell of a request of this user."""
        return await self.sources.fetch(
            frozenset(names or (NAME,)), request=a_request(), identity=a_caller(sub), now=NOW, patience=patience
        )

    async def told(self, sub: str | None = "alice") -> Mapping[str, Any] | None:
        """What `crm` tells of a request of this user, `None` if nothing that counts."""
        return (await self.fetched(sub)).attributes.get(NAME)

    def recalled(self, sub: str | None = "alice") -> Mapping[str, Any] | None:
        """What it told before."""
        found = self.sources.recalled(frozenset({NAME}), request=a_request(), identity=a_caller(sub), now=NOW)
        return None if found is None else found[NAME]

    @property
    def results(self) -> dict[str, int]:
        """What came of requests that wanted to know something of `crm`, without what never happened."""
        return {str(result): count for result, count in self.sources.standings[NAME].results.items() if count}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in other threads; bounded by the test's timeout."""
    while not condition():  # noqa: ASYNC110 - no thread can set an event of asyncio
        await asyncio.sleep(0.01)


@asynccontextmanager
async def asking(*written: Mapping[str, object], base: Path = Path()) -> AsyncIterator[Asking]:
    elapsed = [0.0]
    sources = AttributeSources(sources_of(*written), base=base, clock=lambda: elapsed[0])
    try:
        yield Asking(sources, elapsed)
    finally:
        await sources.close()


Answer = Callable[[GetAttributesRequest, "grpc.ServicerContext"], GetAttributesResponse]


@dataclass
class GrpcServer:
    """What it was asked, and with which metadata; `answer` may be changed at any time."""

    answer: Answer
    port: int = 0
    asked: list[GetAttributesRequest] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)

    def respond(self, request: GetAttributesRequest, context: grpc.ServicerContext) -> GetAttributesResponse:
        self.asked.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        return self.answer(request, context)


def answering(**attributes: Any) -> Answer:
    """Always these."""

    def answer(_: GetAttributesRequest, __: grpc.ServicerContext) -> GetAttributesResponse:
        response = GetAttributesResponse()
        response.attributes.update(attributes)
        return response

    return answer


def failing(code: grpc.StatusCode) -> Answer:
    """Always this."""

    def answer(_: GetAttributesRequest, context: grpc.ServicerContext) -> GetAttributesResponse:
        context.abort(code, "alice is nobody's business")
        raise AssertionError("abort raises")

    return answer


@contextmanager
def serving(
    answer: Answer, credentials: grpc.ServerCredentials | None = None, *, address: str = "127.0.0.1:0"
) -> Iterator[GrpcServer]:
    """A server of `extauthz.v1.AttributeSource` on loopback that is gone afterwards."""
    served = GrpcServer(answer)
    handler = grpc.unary_unary_rpc_method_handler(
        served.respond,
        request_deserializer=GetAttributesRequest.FromString,
        response_serializer=GetAttributesResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler("extauthz.v1.AttributeSource", {"GetAttributes": handler})
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads, handlers=[handlers])
        if credentials is None:
            served.port = server.add_insecure_port(address)
        else:
            served.port = server.add_secure_port(address, credentials)
        server.start()
        try:
            yield served
        finally:
            served.held.set()
            server.stop(0).wait()
