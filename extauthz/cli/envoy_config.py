"""`extauthz envoy config`: Envoy's configuration, written for a server.

The rule kept here: an option that a kind has no use for is refused; nobody believes that it counts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, cast

import typer

from extauthz.cli.envoy_messages import importing_messages
from extauthz.cli.envoy_wanted import NONE, Kind, Options, wanted_front, wanted_proxy, wanted_server
from extauthz.envoy.addresses import parse_address
from extauthz.values.duration import longer_than_nothing, seconds

_ALWAYS: Final = frozenset({"kind", "config_file", "output"})
_SERVER: Final = frozenset(
    {"extauthz", "pages", "workers", "extauthz_ca", "extauthz_name", "client_certificate", "client_key"}
)
_LISTENING: Final = frozenset({"listen", "certificate", "key", "admin"})
_PROXY: Final = frozenset(
    {
        *("host", "ca", "trusted_hops", "service", "service_grpc", "listen_tcp", "service_tcp", "timeout", "hold"),
        *("hold_path", "body", "context_extension", "unchecked", "access_log", "tracing", "sampling", "name"),
    }
)
_TAKEN: Final = {
    "gateway": _ALWAYS | _SERVER | _LISTENING | _PROXY,
    "sidecar": _ALWAYS | _SERVER | _LISTENING | _PROXY | {"trust_domain"},
    "workers": _ALWAYS | _SERVER,
    "approvals": _ALWAYS | _LISTENING | {"pages", "workers", "extauthz"},
}


def _address(text: str) -> str:
    try:
        parse_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def _address_or_none(text: str) -> str:
    return text if text == NONE else _address(text)


def _host_or_address(text: str) -> str:
    _address(text if text.startswith("unix:") or ":" in text else f"{text}:0")
    return text


def _duration(text: str) -> float:
    try:
        return longer_than_nothing(seconds(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _path_or_none(text: str) -> str:
    return text if text == NONE else _path(text)


def _path(text: str) -> str:
    if text.startswith("/") and not set(text) & set("?#*{ "):
        return text
    raise typer.BadParameter(f"`{text}` is no path; write `/orders`")


_ADDRESS: Final = "ADDRESS"
_OR_NONE: Final = "ADDRESS|none"


def config(
    context: typer.Context,
    kind: Annotated[
        Literal["gateway", "sidecar", "workers", "approvals"],
        typer.Argument(help="What for: an edge gateway, a sidecar, the clusters of workers, the approvers' pages."),
    ],
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="The server's configuration: its addresses, TLS, hosts, headers, hops and limits are Envoy's, too.",
            envvar="EXTAUTHZ_CONFIG",
            dir_okay=False,
        ),
    ] = None,
    listen: Annotated[
        str | None, typer.Option(parser=_address, metavar=_ADDRESS, help="Where clients connect.")
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host that is served, as `*.example.com`; by default any."),
    ] = None,
    certificate: Annotated[
        str | None, typer.Option(metavar="FILE|none", help="The certificate that clients see; `none`: no TLS here.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    ca: Annotated[str | None, typer.Option(metavar="FILE", help="Who signs the certificates of workloads.")] = None,
    trust_domain: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Whose workloads may connect to a sidecar.")
    ] = None,
    trusted_hops: Annotated[
        int | None, typer.Option(min=0, max=32, metavar="N", help="Proxies in front whose word on the client is taken.")
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(
            parser=_address,
            metavar=_ADDRESS,
            help="What is protected. With it, parts of the example that you don't name are left out.",
        ),
    ] = None,
    service_grpc: Annotated[
        str | None,
        typer.Option(parser=_address_or_none, metavar=_OR_NONE, help="Where its gRPC calls are answered."),
    ] = None,
    listen_tcp: Annotated[
        str | None,
        typer.Option(
            parser=_address_or_none, metavar=_OR_NONE, help="Where connections are guarded that carry no HTTP."
        ),
    ] = None,
    service_tcp: Annotated[
        str | None, typer.Option(parser=_address, metavar=_ADDRESS, help="Where such connections lead.")
    ] = None,
    extauthz: Annotated[
        list[str] | None,
        typer.Option(
            parser=_host_or_address,
            metavar="HOST|ADDRESS",
            help="Where Envoy reaches extauthz; a host alone takes the ports of the configuration. May be repeated.",
        ),
    ] = None,
    pages: Annotated[
        list[str] | None,
        typer.Option(parser=_address, metavar=_ADDRESS, help="Where its pages are, if not beside. May be repeated."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="N", help="The N of `serve --workers N`; for `workers` 4.")
    ] = None,
    extauthz_ca: Annotated[
        str | None, typer.Option(metavar="FILE", help="TLS to extauthz: who signs its certificate.")
    ] = None,
    extauthz_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="TLS to extauthz: its SPIFFE ID or DNS name. May be repeated."),
    ] = None,
    client_certificate: Annotated[
        str | None, typer.Option(metavar="FILE", help="TLS to extauthz: Envoy's own certificate.")
    ] = None,
    client_key: Annotated[str | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    timeout: Annotated[
        float, typer.Option(parser=_duration, metavar="DURATION", help="How long a decision may take.")
    ] = cast("float", "250ms"),
    hold: Annotated[
        float, typer.Option(parser=_duration, metavar="DURATION", help="The longest `hold` of a rule.")
    ] = cast("float", "30s"),
    hold_path: Annotated[
        list[str] | None,
        typer.Option(parser=_path_or_none, metavar="PATH|none", help="Calls below it may be held. May be repeated."),
    ] = None,
    body: Annotated[
        int,
        typer.Option(
            min=0, max=1 << 30, metavar="BYTES", help="So much of a body is shown to extauthz; 0: none of it."
        ),
    ] = 8192,
    context_extension: Annotated[
        list[str] | None,
        typer.Option("--context", metavar="NAME=VALUE", help="What policies read as `context.NAME`. May be repeated."),
    ] = None,
    unchecked: Annotated[
        list[str] | None,
        typer.Option(parser=_path, metavar="PATH", help="An exact path that nobody asks about. May be repeated."),
    ] = None,
    access_log: Annotated[
        str, typer.Option(metavar="stdout|FILE|none", help="Where a line for each request goes.")
    ] = "stdout",
    tracing: Annotated[
        str | None,
        typer.Option(parser=_address_or_none, metavar=_OR_NONE, help="A collector of OTLP over gRPC, for spans."),
    ] = None,
    sampling: Annotated[
        float, typer.Option(min=0, max=100, metavar="PERCENT", help="How many traces are begun here.")
    ] = 100.0,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The name of this Envoy in spans.")] = None,
    admin: Annotated[
        str | None,
        typer.Option(parser=_address_or_none, metavar=_OR_NONE, help="Where Envoy's admin interface listens."),
    ] = None,
    output: Annotated[
        Literal["yaml", "json"], typer.Option("--format", help="With comments for people, or for programs.")
    ] = "yaml",
) -> None:
    """Write Envoy's configuration, complete and commented, to the standard output.

    Without options it is an example in which everything that has to be changed is marked "Yours".
    """
    _refuse_useless(context, kind)
    _refuse_unprintable(context)
    if (client_certificate is None) != (client_key is None):
        raise typer.BadParameter("a certificate and its key go together", param_hint="--client-certificate")
    if service_tcp is not None and listen_tcp in (None, NONE):
        raise typer.BadParameter("say where such connections come in: `--listen-tcp`", param_hint="--service-tcp")
    options = Options(
        listen=listen,
        hosts=host or (),
        certificate=certificate,
        key=key,
        authorities=ca,
        trust_domains=trust_domain or (),
        trusted_hops=trusted_hops,
        service=service,
        service_grpc=service_grpc,
        listen_tcp=listen_tcp,
        service_tcp=service_tcp,
        extauthz=extauthz or (),
        pages=pages or (),
        workers=workers or (4 if kind == "workers" and len(extauthz or ()) < 2 else None),
        extauthz_authorities=extauthz_ca,
        extauthz_names=extauthz_name or (),
        client_certificate=client_certificate,
        client_key=client_key,
        timeout=timeout,
        hold=hold,
        hold_paths=hold_path or (),
        body=body,
        context=_context(context_extension or ()),
        unchecked=unchecked or (),
        access_log=access_log,
        tracing=tracing,
        sampling=sampling,
        name=name,
        admin=admin,
    )
    typer.echo(_written(kind, options, config_file, output), nl=output == "json")


def _refuse_useless(context: typer.Context, kind: Kind) -> None:
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if name not in _TAKEN[kind] and source is not None and source.name == "COMMANDLINE":
            takers = ", ".join(f"`{one}`" for one in _TAKEN if name in _TAKEN[one])
            raise typer.BadParameter(f"`{kind}` has no use for it; it is for {takers}", param_hint=parameter.opts[0])


def _refuse_unprintable(context: typer.Context) -> None:
    for parameter in context.command.params:
        given = context.params.get(str(parameter.name))
        for text in given if isinstance(given, (list, tuple)) else [given]:
            if isinstance(text, str) and not text.isprintable():
                raise typer.BadParameter(
                    f"`{ascii(text)[1:-1]}` has a character that can't be printed; remove it",
                    param_hint=parameter.opts[0],
                )


def _context(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, pairs, strict=True):
        if not name or not equals:
            raise typer.BadParameter(f"`{text}` is no name and value; write `tenant=t1`", param_hint="--context")
        if name.startswith("extauthz."):
            raise typer.BadParameter(
                f"`{name}`: `extauthz.` is for what this writes by itself; write another name", param_hint="--context"
            )
    return {name: value for name, _, value in pairs}


def _written(kind: Kind, options: Options, config_file: Path | None, output: str) -> str:
    with importing_messages():
        from extauthz.envoy.whole import approvals_configuration, proxy_configuration, workers_configuration

    settings = None
    if config_file is not None:
        from extauthz.settings import load_settings

        settings = load_settings(config_file)
    if kind == "approvals":
        made = approvals_configuration(wanted_front(options, settings))
    elif kind == "workers":
        made = workers_configuration(wanted_server(kind, options, settings))
    else:
        made = proxy_configuration(wanted_proxy(kind, options, settings))
    return made.as_json() if output == "json" else made.as_yaml()
