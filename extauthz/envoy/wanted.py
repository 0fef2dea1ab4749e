"""What is wanted of Envoy: what the generator is told, and nothing about how Envoy says it.

The rule kept here: what nobody has said has a value of ours that stands in its place, and is marked as the reader's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

import msgspec

from extauthz.envoy.addresses import Address, Pipe, Tcp
from extauthz.envoy.marks import MARK

T = TypeVar("T")

AT_ONCE_DECIDED: Final = 256
"""So many calls are decided in time by one worker (docs/operations.md, Overload)."""


@dataclass(frozen=True, slots=True)
class Own(Generic[T]):
    """A value that is the reader's: `said` by them, or ours in its place until they change it."""

    value: T
    said: bool = False

    def marked(self, text: str) -> str:
        """What is said of it, with a mark where it is still to be changed."""
        return text[0].upper() + text[1:] if self.said else MARK + text


class ServerTls(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate that clients see, in files, and who signs theirs; `trust_domains` are those that are let in."""

    certificate: Own[str]
    key: Own[str]
    authorities: Own[str]
    trust_domains: Own[tuple[str, ...]] = Own(())


class CallingTls(msgspec.Struct, frozen=True, kw_only=True):
    """TLS to extauthz: who signs its certificate and by which of its names it is known; and a certificate of Envoy's
    own, where extauthz lets nobody else in."""

    authorities: Own[str]
    names: Own[tuple[str, ...]]
    certificate: Own[str] | None = None
    key: Own[str] | None = None


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """extauthz: where it answers Checks, one address for each worker, and shows its pages."""

    checks: tuple[Own[Address], ...]
    pages: tuple[Own[Address], ...]
    tls: CallingTls | None = None
    headers: frozenset[str] | None = None
    """The names of headers that it is told; `None`: all."""
    metadata: tuple[str, ...] = ("envoy.filters.http.jwt_authn",)
    """Namespaces of other filters that it is told."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Paths below which calls wait for an approval, for so many seconds at most, and so many at a time."""

    paths: Own[tuple[str, ...]] = Own(("/held",))
    seconds: float = 30.0
    at_once: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How each request is asked about. `timeout` is in seconds, `body` the most bytes of a body, 0 for none of it.

    `context` is what policies read of these routes, `unchecked` are the paths that are let through without a question,
    `declares_buffered` whether the server takes for granted that bodies are buffered.
    """

    timeout: float = 0.25
    body: int = 8192
    declares_buffered: bool = False
    context: Mapping[str, str] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()
    hold: Hold | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of requests: in an access log (`stdout`, or a file) and in spans, which go to `collector`."""

    name: str
    access_log: str | None = "stdout"
    collector: Own[Address] | None = None
    sampling: float = 100.0


class TcpGuard(msgspec.Struct, frozen=True, kw_only=True):
    """A listener for connections that carry no HTTP, and where they lead."""

    listen: Own[Address]
    service: Own[Address]


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway or a sidecar, whole."""

    kind: Literal["gateway", "sidecar"]
    admin: Own[Address] | None
    listen: Own[Address]
    tls: ServerTls | None
    hosts: tuple[str, ...] = ("*",)
    appends_peer: bool = True
    """Whether the peer is a client, or a proxy that does not add itself; Envoy then adds it to X-Forwarded-For."""
    trusted_hops: int = 0
    service: Own[Address]
    service_grpc: Own[Address] | None
    server: Server
    asking: Asking
    seen: Seen
    tcp: TcpGuard | None = None


class ApproversFront(msgspec.Struct, frozen=True, kw_only=True):
    """A listener with TLS before the approvers' pages."""

    admin: Own[Address] | None
    listen: Own[Address]
    tls: ServerTls | None
    pages: tuple[Own[Address], ...]


def worker_address(address: Address, number: int) -> Address:
    """Where the worker with this number listens, from 0, if the first address is that of the configuration: each at the
    next port, or at a socket with its number in the name (as `serve --workers` does).
    """
    if isinstance(address, Tcp):
        return Tcp(address.host, address.port + number)
    folder, slash, name = address.path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    numbered = f"{stem}.{number}.{suffix}" if dot and stem else f"{name}.{number}"
    return Pipe(folder + slash + numbered)
