"""What is wanted of Envoy, by options of the command and by the configuration of the server.

The rule kept here: an option beats the configuration, which beats our example. As soon as somebody names their service,
only the parts are there that they name.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec
import typer

from extauthz.check.holding_config import AT_ONCE
from extauthz.envoy.addresses import Address, Pipe, Tcp, parse_address
from extauthz.envoy.wanted import (
    ApproversFront,
    Asking,
    CallingTls,
    Hold,
    Own,
    Proxy,
    Seen,
    Server,
    ServerTls,
    TcpGuard,
    worker_address,
)
from extauthz.errors import ConfigurationError
from extauthz.identity.user_config import MetadataSource, namespace_and_key
from extauthz.settings import Settings

Kind = Literal["gateway", "sidecar", "workers", "approvals"]
NONE: Final = "none"
"""Instead of an address, a file or a path: no such part."""
_SOMEWHERE: Final = "extauthz"
"""The host of extauthz in our examples."""
_JWT_AUTHN: Final = "envoy.filters.http.jwt_authn"
_TLS: Final = "/etc/envoy/tls"
_LISTENED: Final = {
    "gateway": Tcp("0.0.0.0", 8443),  # noqa: S104 - a gateway listens to everybody
    "sidecar": Tcp("0.0.0.0", 15006),  # noqa: S104 - a sidecar listens to the mesh
    "approvals": Tcp("0.0.0.0", 8444),  # noqa: S104 - browsers of approvers come from elsewhere
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the command, as they are given; `None` and nothing are those that are not. Addresses are texts
    that `parse_address` takes."""

    listen: str | None
    hosts: Sequence[str]
    certificate: str | None
    key: str | None
    authorities: str | None
    trust_domains: Sequence[str]
    trusted_hops: int | None
    service: str | None
    service_grpc: str | None
    listen_tcp: str | None
    service_tcp: str | None
    extauthz: Sequence[str]
    pages: Sequence[str]
    workers: int | None
    extauthz_authorities: str | None
    extauthz_names: Sequence[str]
    client_certificate: str | None
    client_key: str | None
    timeout: float
    hold: float
    hold_paths: Sequence[str]
    body: int
    context: Mapping[str, str]
    unchecked: Sequence[str]
    access_log: str
    tracing: str | None
    sampling: float
    name: str | None
    admin: str | None


def wanted_proxy(kind: Literal["gateway", "sidecar"], options: Options, settings: Settings | None) -> Proxy:
    """A gateway or a sidecar.

    Raises:
        ConfigurationError: what is said does not fit together, or what the server listens on can't be called.
    """
    gateway = kind == "gateway"
    example = options.service is None
    client = None if settings is None else settings.client
    hops = 0 if gateway else 1
    if client is not None:
        hops = client.trusted_hops
    service = Tcp("service", 8080) if gateway else Tcp("127.0.0.1", 8080)
    grpc = Tcp("service", 9090) if gateway else Tcp("127.0.0.1", 9090)
    return Proxy(
        kind=kind,
        admin=_part(options.admin, Pipe("/run/envoy/admin.sock")),
        listen=_address(options.listen, _LISTENED[kind]),
        tls=_server_tls(kind, options, settings),
        hosts=_hosts(options, settings),
        appends_peer=gateway if client is None else client.xff == "appended",
        trusted_hops=hops if options.trusted_hops is None else options.trusted_hops,
        service=_address(options.service, service),
        service_grpc=_part(options.service_grpc, grpc if example else None),
        server=wanted_server(kind, options, settings),
        asking=_asking(kind, options, settings),
        seen=Seen(
            name=options.name or kind,
            access_log=None if options.access_log == NONE else options.access_log,
            collector=_part(options.tracing, Tcp("otel-collector", 4317) if example else None),
            sampling=options.sampling,
        ),
        tcp=_tcp(options, example=example and not gateway),
    )


def wanted_front(options: Options, settings: Settings | None) -> ApproversFront:
    """A listener before the approvers' pages.

    Raises:
        ConfigurationError: there are none, or what the server listens on can't be called.
    """
    url, listened = None, "0.0.0.0:9194"
    if settings is not None:
        url, listened = settings.approvals.url, settings.listen.approvals
        if url is None and settings.approvals.tokens is None:
            raise ConfigurationError(
                "approvals: nobody listens on `listen.approvals` without `approvals.url` or `approvals.tokens`;"
                " write one of them"
            )
    port = _LISTENED["approvals"].port if url is None else _port_of(url)
    return ApproversFront(
        admin=_part(options.admin, Pipe("/run/envoy/approvals-admin.sock")),
        listen=_address(options.listen, Tcp(_LISTENED["approvals"].host, port)),
        tls=_server_tls("approvals", options, settings),
        pages=_called("listen.approvals", listened, _named_pages(options), options, settings),
    )


def wanted_server(kind: Kind, options: Options, settings: Settings | None) -> Server:
    """extauthz, as Envoy calls it.

    Raises:
        ConfigurationError: what it listens on can't be called.
    """
    checks, pages = _EXAMPLES[kind]
    if settings is not None:
        checks, pages = settings.listen.grpc, settings.listen.web
    named = [_named(text, checks) for text in options.extauthz]
    metadata = [_JWT_AUTHN]
    if settings is not None:
        of_users = (one for one in settings.identity.users if isinstance(one, MetadataSource))
        metadata += [namespace_and_key(place)[0] for one in of_users for place in one.places]
    return Server(
        checks=_called("listen.grpc", checks, named, options, settings),
        pages=_called("listen.web", pages, _named_pages(options), options, settings),
        tls=_calling_tls(options, settings),
        headers=None if settings is None else settings.declared_headers,
        metadata=tuple(dict.fromkeys(metadata)),
    )


_EXAMPLES: Final[Mapping[Kind, tuple[str, str]]] = {
    "gateway": ("0.0.0.0:9191", "0.0.0.0:9192"),
    "sidecar": ("unix:/run/extauthz/grpc.sock", "unix:/run/extauthz/web.sock"),
    "workers": ("127.0.0.1:9200", "127.0.0.1:9300"),
    "approvals": ("0.0.0.0:9191", "0.0.0.0:9192"),
}
"""Where extauthz answers Checks and shows pages in our examples."""


def _called(
    setting: str, listened: str, named: Sequence[Own[Address]], options: Options, settings: Settings | None
) -> tuple[Own[Address], ...]:
    """Where the server is called that listens there, one address for each worker.

    Raises:
        ConfigurationError: it takes any free port.
        BadParameter: several are named beside a number of workers.
    """
    workers = options.workers or 1
    if not named:
        named = _reached(parse_address(listened), options, given=settings is not None)
    if len(named) > 1:
        if workers > 1:
            raise typer.BadParameter(
                "beside several addresses; name each of them, or the first one alone", param_hint="--workers"
            )
        return tuple(named)
    (first,) = named
    if isinstance(first.value, Tcp) and not first.value.port:
        raise ConfigurationError(f"{setting}: takes any free port; write one that Envoy can be told")
    if workers == 1:
        return (first,)
    return tuple(Own(worker_address(first.value, number), first.said) for number in range(workers))


def _reached(address: Address, options: Options, *, given: bool) -> Sequence[Own[Address]]:
    """The addresses by which Envoy reaches what listens on it: on each host that is named for Checks, if one is."""
    if isinstance(address, Pipe):
        return [Own(address, given)]
    hosts = dict.fromkeys(found.host for text in options.extauthz if isinstance(found := _host(text), Tcp))
    if hosts:
        return [Own(Tcp(host, address.port), said=True) for host in hosts]
    if address.is_everywhere:
        return [Own(Tcp(_SOMEWHERE, address.port))]
    return [Own(address, given)]


def _named(text: str, listened: str) -> Own[Address]:
    """An address for Checks as it is named, with the port of the configuration for a host alone."""
    found = _host(text)
    if isinstance(found, Tcp) and not found.port:
        usual = parse_address(listened)
        found = Tcp(found.host, usual.port if isinstance(usual, Tcp) else 9191)
    return Own(found, said=True)


def _host(text: str) -> Address:
    """An address; a host alone has port 0."""
    return parse_address(text if text.startswith("unix:") or ":" in text else f"{text}:0")


def _server_tls(kind: str, options: Options, settings: Settings | None) -> ServerTls | None:
    if options.certificate == NONE:
        return None
    domains: Own[tuple[str, ...]] = Own(())
    if kind == "sidecar":
        trusted = None if settings is None else settings.identity.workload.trust_domains
        said = tuple(options.trust_domains) or trusted
        domains = Own(("prod.example.org",)) if said is None else Own(said, said=True)
    return ServerTls(
        certificate=_own(options.certificate, f"{_TLS}/server.pem"),
        key=_own(options.key, f"{_TLS}/server.key"),
        authorities=_own(options.authorities, f"{_TLS}/ca.pem"),
        trust_domains=domains,
    )


def _calling_tls(options: Options, settings: Settings | None) -> CallingTls | None:
    configured = None if settings is None else settings.listen.tls
    named = options.extauthz_authorities or options.extauthz_names or options.client_certificate
    if configured is None and not named:
        return None
    if configured is None and settings is not None:
        raise ConfigurationError(
            "listen.tls: there is none, so extauthz speaks no TLS; write it, or give no `--extauthz-…`"
        )
    wants_certificate = configured is not None and configured.callers is not None
    certificate = key = None
    if wants_certificate or options.client_certificate is not None:
        certificate = _own(options.client_certificate, f"{_TLS}/extauthz-client.pem")
        key = _own(options.client_key, f"{_TLS}/extauthz-client.key")
    names = tuple(options.extauthz_names)
    return CallingTls(
        authorities=_own(options.extauthz_authorities, f"{_TLS}/extauthz-ca.pem"),
        names=Own(names, said=True) if names else Own(("spiffe://prod.example.org/ns/extauthz/sa/extauthz",)),
        certificate=certificate,
        key=key,
    )


def _asking(kind: str, options: Options, settings: Settings | None) -> Asking:
    declares = settings is not None and settings.request.buffered
    if declares and not options.body:
        raise ConfigurationError(
            "request.buffered: extauthz takes for granted that bodies are buffered; give `--body` more than 0, or"
            " remove it"
        )
    example = options.service is None and kind == "gateway"
    at_once = AT_ONCE if settings is None else settings.approvals.holding.at_once
    hold = None
    if options.hold_paths and NONE not in options.hold_paths:
        hold = Hold(paths=Own(tuple(options.hold_paths), said=True), seconds=options.hold, at_once=at_once)
    elif example and not options.hold_paths:
        hold = Hold(seconds=options.hold, at_once=at_once)
    return Asking(
        timeout=options.timeout,
        body=options.body,
        declares_buffered=declares,
        context=options.context or ({"route": "service"} if kind == "gateway" else {}),
        unchecked=tuple(options.unchecked),
        hold=hold,
    )


def _tcp(options: Options, *, example: bool) -> TcpGuard | None:
    if options.listen_tcp == NONE or not (example or options.listen_tcp):
        return None
    return TcpGuard(
        listen=_address(options.listen_tcp, Tcp("0.0.0.0", 15432)),  # noqa: S104 - a sidecar listens to the mesh
        service=_address(options.service_tcp, Tcp("127.0.0.1", 5432)),
    )


def _hosts(options: Options, settings: Settings | None) -> tuple[str, ...]:
    configured = None if settings is None else settings.request.hosts
    return tuple(options.hosts) or configured or ("*",)


def _own(given: str | None, example: str) -> Own[str]:
    return Own(example) if given is None else Own(given, said=True)


def _address(given: str | None, example: Address) -> Own[Address]:
    return Own(example) if given is None else Own(parse_address(given), said=True)


def _part(given: str | None, example: Address | None) -> Own[Address] | None:
    if given == NONE or (given is None and example is None):
        return None
    return Own(example) if given is None and example is not None else Own(parse_address(str(given)), said=True)


def _named_pages(options: Options) -> list[Own[Address]]:
    return [Own(parse_address(text), said=True) for text in options.pages]


def _port_of(url: str) -> int:
    return urlsplit(url).port or 443
