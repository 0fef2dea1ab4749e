"""The `listen:` block of extauthz.yaml: the addresses of the server.

The rule: what is served on one address is served on no other.
"""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from extauthz.transport.tls import TlsSettings
from extauthz.transport.unix_sockets import Sockets
from extauthz.values.block import Block, Switch

_MODE = re.compile(r"0[67][0-7]{2}")
_TCP_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")


def _address(text: str) -> str:
    if text.startswith("unix:/") or (_TCP_ADDRESS.fullmatch(text) and int(text.rpartition(":")[2]) < 65536):
        return text
    raise ValueError("not an address; write `127.0.0.1:9191`, `[::1]:9191` or `unix:/run/extauthz/grpc.sock`")


Address = Annotated[str, AfterValidator(_address)]


def _mode(text: str) -> str:
    if _MODE.fullmatch(text) is None:
        raise ValueError('not the mode of a socket that its owner can use; write "0660" or "0600", in quotes')
    if int(text[-1]):
        raise ValueError(
            f'`{text}` lets everybody on this machine ask for decisions; write "0660", and give Envoy the group of the'
            " socket"
        )
    return text


class SocketSettings(Block):
    """How Unix sockets are made."""

    mode: Annotated[str, AfterValidator(_mode)] = "0660"
    """The mode of each socket, in octal and in quotes. Who may write to a socket may ask for decisions, so others than
    its owner and group are kept out; the default lets Envoy in by a group that both are in."""
    shared_folder: Switch = False
    """Whether the folders of sockets may be writable by everybody, as a volume is that only the containers of one pod
    mount. On a machine with other users, one of them could put a socket of his own there and allow everything."""


class ListenSettings(Block):
    """Where the server listens: `host:port` or `unix:/path`. Port 0 takes a free one, which the log names."""

    grpc: Address = "127.0.0.1:9191"
    """Where Envoy asks for decisions, and probes for health. Over a network set `tls` with `callers`: whoever reaches
    it may ask."""
    web: Address = "127.0.0.1:9192"
    """Where the pages under `/.extauthz/` are served. Envoy routes them here, without asking for a decision."""
    admin: Address = "127.0.0.1:9193"
    """Where probes, metrics and the API for subjects are served. Keep it away from Envoy and from the world; Kubernetes
    and Prometheus need an address that they reach."""
    approvals: Address = "127.0.0.1:9194"
    """Where the approvers' pages and the HTTP API for approvals are served, if `approvals` has `url` or `tokens`. It is
    an origin of its own, so that no application's script can press their buttons."""
    approvals_grpc: Address | None = None
    """Where the gRPC API for approvals is served. Without it there is none."""
    tls: TlsSettings | None = None
    """TLS for `grpc`. Without it, everybody who is on the way can read and change what is decided."""
    approvals_tls: TlsSettings | None = None
    """TLS for `approvals_grpc`, whose calls carry the tokens of approvers."""

    sockets: SocketSettings = SocketSettings()
    """How those of the addresses are made that are Unix sockets."""

    @property
    def made_sockets(self) -> Sockets:
        """How Unix sockets are made."""
        return Sockets(mode=int(self.sockets.mode, 8), shared_folder=self.sockets.shared_folder)

    @model_validator(mode="after")
    def _each_has_its_own(self) -> Self:
        addresses = (self.grpc, self.web, self.admin, self.approvals, self.approvals_grpc)
        taken = [one for one in addresses if one and addresses.count(one) > 1 and not one.endswith(":0")]
        if taken:
            raise ValueError(f"`{taken[0]}` is the address of two; each of those under `listen` needs its own")
        return self
