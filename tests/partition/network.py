"""Hosts that are Linux network namespaces, on two networks that a test can cut.

Each host has a leg in the networks that it is on, `store0` and `mesh0`, with an address of those that RFC 5737 keeps
for documentation; nothing of it is on the machine's own networks. Both networks are bridges in a namespace of
their own, and that is where packets get lost: who sends notices nothing.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Never

import pytest

Net = Literal["store", "mesh"]
Cut = Literal["link", "silence", "answers"]
CUTS: Final[tuple[Cut, ...]] = ("link", "silence", "answers")
"""How a host is cut off: its cable is out; all that it sends and is sent gets lost; only what it is sent gets lost, so
that others do what it asks and it never hears of it."""

_NETWORKS: Final[Mapping[Net, str]] = {"store": "192.0.2", "mesh": "198.51.100"}
_SWITCH: Final = "switch"
_NAMES: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000  # <linux/sched.h>
_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The hosts and what they are connected by."""

    prefix: str
    hosts: Mapping[str, tuple[Net, ...]]

    def address(self, host: str, net: Net) -> str:
        """That of this host on this network."""
        return f"{_NETWORKS[net]}.{10 + list(self.hosts).index(host)}"

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Within it the calling thread is on this host, and so is what it starts: processes, threads and sockets."""
        with Path("/proc/thread-self/ns/net").open() as here, (_NAMES / self._name(host)).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    @contextmanager
    def cut(self, host: str, net: Net, how: Cut) -> Iterator[None]:
        """Within it the host is cut off from this network."""
        port = f"{net}-{host}"
        if how == "link":
            self._ip("link", "set", port, "down")
        else:
            self._lose(port, ("iifname", "oifname") if how == "silence" else ("oifname",))
        try:
            yield
        finally:
            if how == "link":
                self._ip("link", "set", port, "up")
            else:
                self._nft(f"delete table bridge {port}")

    def _lose(self, port: str, ways: Sequence[str]) -> None:
        # ARP goes on: without it the kernel would say that there is no way to the host, and no packet would be lost.
        rules = "\n".join(f"{way} {port} ether type ip drop" for way in ways)
        self._nft(f"table bridge {port} {{ chain lost {{ type filter hook forward priority 0\n{rules}\n}}\n}}")

    def _ip(self, *words: str) -> None:
        _run(("ip", "-netns", self._name(_SWITCH), *words))

    def _nft(self, rules: str) -> None:
        _run(("ip", "netns", "exec", self._name(_SWITCH), "nft", "-f", "-"), rules)

    def _name(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    def _try(self, stack: ExitStack) -> None:
        """Do what not everybody may, and not every kernel can."""
        self._add(stack, _SWITCH)
        self._ip("link", "add", "tried", "type", "bridge")
        self._ip("link", "add", "tried-here", "type", "veth", "peer", "name", "tried-there")
        self._nft("table bridge tried { chain tried { type filter hook forward priority 0; }\n}")

    def _add(self, stack: ExitStack, host: str) -> None:
        _run(("ip", "netns", "add", self._name(host)))
        stack.callback(_run, ("ip", "netns", "delete", self._name(host)))

    def _build(self, stack: ExitStack) -> None:
        for host in self.hosts:
            self._add(stack, host)
            _run(("ip", "-netns", self._name(host), "link", "set", "lo", "up"))
        for net in _NETWORKS:
            self._ip("link", "add", net, "type", "bridge")
            self._ip("link", "set", net, "up")
        for host, nets in self.hosts.items():
            for net in nets:
                port, leg = f"{net}-{host}", f"{net}0"
                self._ip("link", "add", port, "type", "veth", "peer", "name", leg, "netns", self._name(host))
                self._ip("link", "set", port, "master", net, "up")
                inside = ("ip", "-netns", self._name(host))
                _run((*inside, "address", "add", f"{self.address(host, net)}/24", "dev", leg))
                _run((*inside, "link", "set", leg, "up"))


@contextmanager
def network(hosts: Mapping[str, tuple[Net, ...]]) -> Iterator[Network]:
    """Hosts on these networks. Skips where tools are missing, or where nobody may make namespaces."""
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            _missing(f"no `{tool}` here; install `iproute2` and `nftables` to run these tests")
    built = Network(prefix=f"xz{os.getpid()}", hosts=hosts)
    with ExitStack() as stack:
        try:
            built._try(stack)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no networks can be made here: `{' '.join(error.cmd)}`: {error.stderr.strip()}")
        built._build(stack)
        yield built


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _run(command: Sequence[str], text: str = "") -> None:
    subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60)


def _missing(message: str) -> Never:
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(message)
    pytest.skip(message)
