"""What goes wrong, one thing after the other, and what each may cause.

The rule: a fault says beforehand what it may cause and to whom, and where it should cause nothing it says nothing; when
it is over, all must be as before by itself.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.harness.proc import family
from bench.soaking.load import Load
from bench.soaking.site import STALE, WORKERS, Site
from bench.soaking.verdict import ALLOWED, Verdict
from extauthz.cli.quickstart.local_http import get
from extauthz.cli.quickstart.tokens import ISSUER, TokenIssuer
from extauthz.errors import ExtauthzError

FOLLOWS: Final = 90.0
"""Seconds in which a server follows a change on a machine that is busy."""
GOES: Final = 3.0
SLOW: Final = 12
"""How many slow clients there are at a time."""
_BY_POLICY: Final = frozenset({"policy in force", "policy of before"})
_BLOCKED: Final = "somebody who is blocked now and then"
_HELD: Final = frozenset({"held, approved", "held, denied", "held, in vain"})
_CODES: Final = frozenset({"code", "code again"})
_TOKENS: Final = frozenset({"people", "frozen", "challenge", _BLOCKED}) | _HELD | _CODES
_OF_STATE: Final = frozenset({"workload", "other workload", "words in a certificate", "TCP", "other TCP"}) | _TOKENS
"""Requests with a subject: once nobody knows any more who is blocked they are denied, too."""
_NO_STATE: Final = ("state-unavailable", "revocations-stale")
_GONE: Final = ("envoy-503", "grpc-unavailable", "grpc-cancelled", "grpc-unknown", "grpc-internal")


class NotFollowed(ExtauthzError):
    """A server did not do what it must after a change, or a command failed."""


@dataclass
class Faults:
    """All that goes wrong at a site."""

    site: Site
    load: Load
    verdict: Verdict
    problems: list[str] = field(default_factory=list)
    _slow: int = 0

    async def run(self, until: float, rest: float) -> None:
        """Until this time of the monotonic clock, with so many seconds between two of them; each comes once before one
        comes again."""
        kinds: list[Callable[[], Awaitable[None]]] = []
        while time.monotonic() < until - rest:
            if not kinds:
                kinds = [self._reload, self._bad_reload, self._jwks, self._keys, self._collector, self._clock]
                kinds += [self._worker, self._block, self._redis if self.site.redis_port is not None else self._lock]
                random.shuffle(kinds)
            await asyncio.sleep(rest)
            fault = kinds.pop()
            try:
                await fault()
            except NotFollowed as error:
                self.problems.append(str(error))

    async def _reload(self) -> None:
        before = self._revisions()
        with self.verdict.fault("reload", ALLOWED, "no-rule-allows", kinds=_BY_POLICY, opens=True, after=1.0):
            self.site.generation += 1
            self.site.write_policy()
            await _comes(
                lambda: not self._revisions() & before and len(self._revisions()) == 1,
                "new policies in force everywhere",
            )

    async def _bad_reload(self) -> None:
        """Causes nothing."""
        with self.verdict.fault("policies with an error"):
            self.site.write_policy("apiVersion: extauthz/v1\nkind: Policy\n")
            await _comes(lambda: self._everywhere(lambda one: one["reload_error"]), "policies with an error refused")
            self.site.write_policy()
            await _comes(lambda: self._everywhere(lambda one: not one["reload_error"]), "good policies taken again")

    async def _jwks(self) -> None:
        """Causes nothing: the new key is there before it signs, and the old one goes when it signs no more."""
        with self.verdict.fault("rotation of the provider's key"):
            old, new = self.site.issuer, TokenIssuer.create()
            self.site.write_jwks(old, new)
            await asyncio.sleep(GOES)
            await self._asked_until("new key", self.site.token("user-1", issuer=new), ALLOWED)
            self.site.issuer = new
            await asyncio.sleep(2 * GOES)  # longer than calls are held: they are decided anew, by their old token
            self.site.write_jwks(new)
            await self._asked_until("removed key", self.site.token("user-1", issuer=old), "invalid-token")

    async def _asked_until(self, what: str, token: str, reason: str) -> None:
        end = time.monotonic() + FOLLOWS
        headers = {"authorization": f"Bearer {token}"}
        for _ in range(6 * WORKERS):  # Envoy asks the workers in turns, but there are others, too
            while await self.load.ask(f"token of a {what}", "/people", headers, ALLOWED, "invalid-token") != reason:
                if time.monotonic() > end:
                    raise NotFollowed(f"a token of a {what} is not answered with {reason} after {FOLLOWS:g} s")
                await asyncio.sleep(0.1)

    async def _keys(self) -> None:
        """Causes nothing: what older keys made stays good."""
        with self.verdict.fault("rotation of our own keys"):
            await self._command("keys", "rotate", "--after", "1s")

    async def _collector(self) -> None:
        """Causes nothing: spans are dropped."""
        with self.verdict.fault("collector away"):
            await asyncio.to_thread(self.site.kill, "collector", signal.SIGKILL)
            await asyncio.sleep(GOES)
            self.site.start_collector(wait=False)

    async def _redis(self) -> None:
        how = random.choice((signal.SIGTERM, signal.SIGKILL))
        with (
            self.verdict.fault("Redis restart", *_NO_STATE, kinds=_OF_STATE),
            self.verdict.fault("Redis restart", "approval-required", "approval-expired", kinds=_HELD),
        ):
            await asyncio.to_thread(self.site.kill, "redis", how)
            await asyncio.sleep(random.choice((0.5, GOES, STALE + 2.0)))
            self.site.start_redis(wait=False)
            await _comes(lambda: self._everywhere(lambda one: one["store"]["error"] is None), "the Redis found again")

    async def _lock(self) -> None:
        import sqlite3

        def hold() -> None:
            with contextlib.closing(sqlite3.connect(self.site.folder / "soak.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                time.sleep(GOES)
                other.execute("ROLLBACK")

        with (
            self.verdict.fault("SQLite locked", *_NO_STATE, kinds=_OF_STATE),
            self.verdict.fault("SQLite locked", "approval-required", "approval-expired", kinds=_HELD),
        ):
            await asyncio.to_thread(hold)

    async def _clock(self) -> None:
        """Forwards and back, or back and forwards: by seconds, as NTP may do, or by more than a token lives."""
        seconds = random.choice((25.0, -25.0, 900.0, -900.0))
        with (
            self.verdict.fault("clock wrong", "invalid-token", kinds=_TOKENS),
            self.verdict.fault("clock wrong", "wrong-code", "code-used", "locked-out", "proof-required", kinds=_CODES),
            self.verdict.fault("clock wrong", "approval-required", "approval-expired", kinds=_HELD),
            self.verdict.fault("clock wrong", ALLOWED, kinds=frozenset({"expired token"}), opens=True, after=1.0),
        ):
            self.site.set_clock(seconds)
            await asyncio.sleep(2 * GOES)
            self.site.set_clock(0)

    async def _worker(self) -> None:
        with (
            self.verdict.fault("worker killed", *_GONE),
            self.verdict.fault("worker killed", "approval-required", "approval-expired", kinds=_HELD),
        ):
            leader = self.site.children["extauthz"].process.pid
            workers = [pid for pid in family(leader)[1:] if _is_worker(pid, leader)]
            os.kill(max(workers, key=_started), signal.SIGKILL)  # one lives until the end, so that its leaks are seen
            await asyncio.sleep(0.5)
            await _comes(self.site.serves, "a worker in the place of a killed one")

    async def _block(self) -> None:
        """In force everywhere within a second, says docs/operations.md."""
        for verb, sub in (("block", "mallory"), ("unblock", None)):
            with self.verdict.fault(
                verb, ALLOWED, "subject-blocked", kinds=frozenset({_BLOCKED}), opens=True, after=1.0
            ):
                await self._command("subjects", verb, "mallory", "--issuer", ISSUER)
                self.load.blocked = sub
            await asyncio.sleep(GOES)

    async def _command(self, *words: str) -> None:
        ended = await asyncio.to_thread(self.site.command, *words)
        if ended.returncode:
            raise NotFollowed(f"`extauthz {' '.join(words)}` ended with {ended.returncode}: {ended.stderr.strip()}")

    def _ready(self) -> list[Mapping[str, Any]]:
        found = []
        for worker in range(WORKERS):
            try:
                found.append(json.loads(get(self.site.socket("admin", worker), "/ready")[1]))
            except (OSError, ValueError):
                return []
        return found

    def _everywhere(self, holds: Callable[[Mapping[str, Any]], object]) -> bool:
        found = self._ready()
        return len(found) == WORKERS and all(map(holds, found))

    def _revisions(self) -> set[str]:
        return {str(one["revision"]) for one in self._ready()}

    async def dawdle(self, until: float) -> None:
        """Slow clients, all the time: half a request, half a Check, and an answer that is read by the letter."""
        self.verdict.happened["slow clients"] += 0

        async def one(number: int) -> None:
            while time.monotonic() < until:
                self.verdict.happened["slow clients"] += 1
                with contextlib.suppress(OSError):
                    await _WAYS[number % len(_WAYS)](self.site, min(until, time.monotonic() + 20))

        await asyncio.gather(*(one(number) for number in range(SLOW)))


async def _half_a_request(site: Site, until: float) -> None:
    host, _, port = site.front.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setblocking(False)
        for letter in b"GET /open HTTP/1.1\r\nhost: soak.example.com\r\nx-slow: 1":
            if time.monotonic() > until:
                return
            await asyncio.get_running_loop().sock_sendall(connection, bytes([letter]))
            await asyncio.sleep(0.5)


async def _half_a_check(site: Site, until: float) -> None:
    """HTTP/2's preface, empty SETTINGS, and the headers of a call whose message never comes, with a deadline: as of an
    Envoy that was cut off."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(site.socket("grpc", random.randrange(WORKERS))))
        connection.setblocking(False)
        settings = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
        # RFC 7541: `:method POST` and `:scheme http` of the static table, then literals.
        block = b"\x83\x86" + _literal(4, b"/envoy.service.auth.v3.Authorization/Check") + _literal(1, b"soak")
        for name, value in ((b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"grpc-timeout", b"250m")):
            block += b"\x00" + _text(name) + _text(value)
        headers = len(block).to_bytes(3) + bytes((1, 4, 0, 0, 0, 1)) + block
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + headers)
        await asyncio.sleep(max(0.0, until - time.monotonic()))


async def _by_the_letter(site: Site, until: float) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        connection.connect(str(site.socket("web", random.randrange(WORKERS))))
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, b"GET /.extauthz/challenge HTTP/1.1\r\nhost: soak.example.com\r\n\r\n")
        while time.monotonic() < until:
            if not await asyncio.wait_for(loop.sock_recv(connection, 1), 30):
                return
            await asyncio.sleep(0.2)


_WAYS: Final = (_half_a_request, _half_a_check, _by_the_letter)


def _literal(index: int, value: bytes) -> bytes:
    return bytes((index,)) + _text(value)


def _text(value: bytes) -> bytes:
    return bytes((len(value),)) + value


def _started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def _is_worker(pid: int, leader: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return int(stat.rpartition(")")[2].split()[1]) == leader


async def _comes(what: Callable[[], bool], told: str) -> None:
    end = time.monotonic() + FOLLOWS
    while not await asyncio.to_thread(what):
        if time.monotonic() > end:
            raise NotFollowed(f"not within {FOLLOWS:g} s: {told}")
        await asyncio.sleep(0.1)
