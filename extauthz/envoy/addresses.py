"""Addresses as people write them: `host:port` or `unix:/path`."""

import ipaddress
import re
from typing import Final

import msgspec

_TCP: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})")


class Tcp(msgspec.Struct, frozen=True):
    """A host, by name or address, and a port."""

    host: str
    port: int

    @property
    def is_name(self) -> bool:
        """Whether the host has to be resolved."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return False

    @property
    def is_everywhere(self) -> bool:
        """Whether it means all addresses of a machine: it can be listened on, and not be called."""
        return not self.is_name and ipaddress.ip_address(self.host).is_unspecified


class Pipe(msgspec.Struct, frozen=True):
    """A Unix socket; an abstract one begins with `@`."""

    path: str


Address = Tcp | Pipe


def parse_address(text: str) -> Address:
    """What `text` means.

    Raises:
        ValueError: it is no address; the message says how one is written.
    """
    if text.startswith(("unix:/", "unix:@")):
        return Pipe(text.removeprefix("unix:"))
    found = _TCP.fullmatch(text)
    if found is None or int(found[2]) > 65_535:
        raise ValueError(f"`{text}` is no address; write `host:port` or `unix:/path/of.sock`")
    return Tcp(found[1].strip("[]"), int(found[2]))
