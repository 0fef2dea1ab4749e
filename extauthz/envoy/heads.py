"""What stands over each file: what it is for, and what to do with it."""

from extauthz.envoy.addresses import Address, Pipe
from extauthz.envoy.marks import MARK
from extauthz.envoy.wanted import Proxy, Server


def of_proxy(proxy: Proxy, *, yours: bool) -> str:
    """Over a gateway or a sidecar. `yours` says whether a line is marked as the reader's."""
    if proxy.kind == "gateway":
        parts = ": addresses, folders, certificates" if yours else ""
        return (
            "An edge gateway that asks extauthz about every request before it forwards it.\n\n"
            f"{_whose('gateway', yours=yours)}{parts}. {'The rest' if yours else 'It'} is how the answers of"
            " extauthz stay binding; each setting says what goes wrong without it."
        )
    second = " A second listener guards a protocol that is not HTTP (a database, say)." if proxy.tcp else ""
    return (
        "A sidecar in front of one service: it takes mutual TLS from the mesh, asks extauthz in the same pod, and"
        f" forwards to the service on loopback.{second}\n\n"
        f"{_whose('sidecar', yours=yours)}."
    )


def of_front(*, yours: bool) -> str:
    """Over the listener before the approvers' pages."""
    return (
        "A listener in front of the approvers' pages and their API (`listen.approvals`), which speak no TLS themselves."
        f"\n\n{_whose('approvals', yours=yours)}. It can run beside another Envoy; its listener and its cluster can"
        " also be put into gateway.yaml."
    )


def of_workers(server: Server) -> str:
    """Over the clusters of several workers."""
    checks, pages = _listened(server.checks[0].value), _listened(server.pages[0].value)
    return (
        f"The clusters for `extauthz serve --workers {len(server.checks)}`, to be put in the place of those of the"
        " same names in gateway.yaml or sidecar.yaml. Written by `extauthz envoy config workers`; with `--workers`,"
        " the other kinds have such clusters themselves.\n\n"
        "The workers listen as their configuration says, each at the next port, or at a socket with its number in the"
        " name:\n\n"
        f"  listen: {{grpc: {checks}, web: {pages}}}"
    )


def _whose(kind: str, *, yours: bool) -> str:
    written = f"Written by `extauthz envoy config {kind}`. Complete: `envoy -c {kind}.yaml` runs it"
    if not yours:
        return written
    return f'{written}. Change each line that says "{MARK.rstrip(": ")}", here or by options of the command'


def _listened(address: Address) -> str:
    """The address of the first worker as the configuration has it: the others follow from it."""
    if isinstance(address, Pipe):
        return f'"unix:{address.path}"'
    return f'"{address.host}:{address.port}"'
