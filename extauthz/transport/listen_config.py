"""The `listen:` block of extauthz.yaml: the addresses of the server.

The rule: what is served on one address is served on no other.
"""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from extauthz.transport.tls import TlsSettings
from extauthz.values.block import Block

_TCP_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")


def _address(text: str) -> str:
    if text.startswith("unix:/") or (_TCP_ADDRESS.fullmatch(text) and int(text.rpartition(":")[2]) < 65536):
        return text
    raise ValueError("not an address; write `127.0.0.1:9191`, `[::1]:9191` or `unix:/run/extauthz/grpc.sock`")


Address = Annotated[str, AfterValidator(_address)]


class ListenSettings(Block):
    """Where the server listens: `host:port` or `unix:/path`. Port 0 takes a free one, which the log names."""

    grpc: Address = "127.0.0.1:9191"
    web: Address = "127.0.0.1:9192"
    admin: Address = "127.0.0.1:9193"
    approvals: Address = "127.0.0.1:9194"
    approvals_grpc: Address | None = None
    tls: TlsSettings | None = None
    """For `grpc`."""
    approvals_tls: TlsSettings | None = None
    """For `approvals_grpc`."""

    @model_validator(mode="after")
    def _each_has_its_own(self) -> Self:
        addresses = (self.grpc, self.web, self.admin, self.approvals, self.approvals_grpc)
        taken = [one for one in addresses if one and addresses.count(one) > 1 and not one.endswith(":0")]
        if taken:
            raise ValueError(f"`{taken[0]}` is the address of two; each of those under `listen` needs its own")
        return self
