"""Checks of the store: how fast it answers, and whether it is set up so that nothing is lost.

A file is opened for reading alone. A Redis is sent PING, INFO and TIME.
"""

import asyncio
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from redis.exceptions import RedisError

from extauthz.app.doctor.checks import Said, check, ok, problem, warning
from extauthz.app.doctor.clocks import apart_by, judged
from extauthz.app.doctor.deployment import PATIENCE, Deployment, NoAnswer, apart
from extauthz.app.wiring import require_store
from extauthz.store.open import file_of, is_shared
from extauthz.store.redis_address import parse_redis, without_secrets
from extauthz.store.redis_route import route_to
from extauthz.store.redis_server import RedisServer, Words

_PINGS: Final = 20
SLOW: Final = 0.02
"""Seconds of the median that are told: every look-up of a decision takes as long, and the Check has 200 ms."""
_CHECKED: Final = 512 * 1024 * 1024
"""Bytes of a file that is read through."""
_OLDEST_REDIS: Final = (6, 2)
_FULL: Final = 0.8


@check("store", "how long the store takes to answer, by twenty small questions")
async def store(deployment: Deployment) -> Sequence[Said]:
    settings = deployment.settings
    if is_shared(settings.store):
        said = []
        for place, server in await _servers(deployment):
            took = []
            for _ in range(_PINGS):
                began = time.monotonic()
                await _exchange(place, server, ("PING",))
                took.append(time.monotonic() - began)
            said.append(_told(place, took))
        return said
    path = file_of(settings.store, base=settings.base)
    if path is None:
        return [warning("`memory:` forgets all when the server stops", "use `sqlite:///path` or a Redis")]
    return [_told(str(path), await apart(lambda: _asked_file(deployment, path)))]


def _told(place: str, took: Sequence[float]) -> Said:
    median, longest = sorted(took)[len(took) // 2], max(took)
    seen = f"{place}: answers within {median * 1000:.1f} ms (half of {len(took)}), {longest * 1000:.1f} ms (all)"
    if median > SLOW:
        return warning(seen, "bring it nearer, or give it a faster disk: decisions wait for it")
    return ok(seen)


def _asked_file(deployment: Deployment, path: Path) -> list[float]:
    require_store(deployment.settings)
    took = []
    try:
        connection = _opened(path)
        try:
            for _ in range(_PINGS):
                began = time.monotonic()
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                took.append(time.monotonic() - began)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise NoAnswer(f"{path}: can't be read: {error}; is it a store, and may you read it?") from None
    return took


def _opened(path: Path) -> sqlite3.Connection:
    # Where nobody has it open, SQLite would make the files of its log beside it, and leave them to whoever looks.
    alone = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro{alone}", uri=True, timeout=PATIENCE)


def _keeps_a_log(path: Path) -> bool:
    """Whether the journal is a write-ahead log (https://www.sqlite.org/fileformat.html, section 1.3.3)."""
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\2\2"


@check("store-sqlite", "the file of an SQLite store: its journal is a write-ahead log, and its pages are whole")
async def store_sqlite(deployment: Deployment) -> Sequence[Said]:
    path = file_of(deployment.settings.store, base=deployment.settings.base)
    if path is None or not path.is_file():
        return []

    def looked() -> list[Said]:
        said = []
        connection = _opened(path)
        try:
            if not _keeps_a_log(path):
                do = "start the server once, which sets it; another program has changed it"
                said.append(warning(f"{path}: its journal is no write-ahead log", do))
            if path.stat().st_size > _CHECKED:
                said.append(ok(f"{path}: too long to be read through here; `PRAGMA quick_check` does it"))
            else:
                found = [str(row) for (row,) in connection.execute("PRAGMA quick_check(3)")]
                if found != ["ok"]:
                    do = "stop the server and restore a copy"
                    said.append(problem(f"{path}: is damaged: {'; '.join(' '.join(found).split())}"[:300], do))
        except sqlite3.Error as error:
            said.append(problem(f"{path}: is damaged or no store: {error}", "stop the server and restore a copy"))
        finally:
            connection.close()
        return said

    return await apart(looked) or [ok(f"{path}: is whole")]


@check("store-redis", "how a Redis is set up: it evicts nothing, keeps what it was told, has room, and is new enough")
async def store_redis(deployment: Deployment) -> Sequence[Said]:
    if not is_shared(deployment.settings.store):
        return []
    said: list[Said] = []
    for place, server in await _servers(deployment):
        info = await _info(place, server)
        found = [*_set_up(place, info), *_kept(place, info)]
        said += found or [ok(f"{place}: Redis {info.get('redis_version')}, evicts nothing and keeps what it was told")]
    return said


def _set_up(place: str, info: Mapping[str, str]) -> Sequence[Said]:
    said = []
    if (policy := info.get("maxmemory_policy")) != "noeviction":
        do = "`CONFIG SET maxmemory-policy noeviction`, and write it into its configuration"
        said.append(problem(f"{place}: may forget burned codes, its maxmemory-policy is `{policy}`", do))
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > _FULL * most:
        said.append(
            warning(f"{place}: {used * 100 // most} % of its memory is used", "give it more; a full one denies")
        )
    version = tuple(int(part) for part in info.get("redis_version", "0").split(".")[:2] if part.isdecimal())
    if version < _OLDEST_REDIS:
        said.append(warning(f"{place}: is Redis {info.get('redis_version')}", "use 6.2 or newer, or Valkey"))
    return said


def _kept(place: str, info: Mapping[str, str]) -> Sequence[Said]:
    said = []
    if info.get("aof_enabled") == "0":
        said.append(
            warning(
                f"{place}: keeps no append-only file, so that a crash forgets what came after its last snapshot",
                "`appendonly yes`, unless you have read in docs/state.md what is lost",
            )
        )
    failing = [name for name in ("aof_last_write_status", "rdb_last_bgsave_status") if info.get(name, "ok") != "ok"]
    if failing:
        said.append(problem(f"{place}: can't write to its disk ({', '.join(failing)})", "look at its disk and its log"))
    return said


@check("clock-store", "the clock of a Redis against that of this machine")
async def clock_store(deployment: Deployment) -> Sequence[Said]:
    if not is_shared(deployment.settings.store):
        return []
    said = []
    for place, server in await _servers(deployment):
        began = deployment.now()
        told = await _exchange(place, server, ("TIME",))
        if isinstance(told, list) and len(told) == 2 and isinstance(told[0], bytes) and isinstance(told[1], bytes):
            theirs = int(told[0]) + int(told[1]) / 1e6
            said.append(judged(place, apart_by((theirs, theirs), (began, deployment.now()))))
    return said


async def _servers(deployment: Deployment) -> Sequence[tuple[str, RedisServer]]:
    """The servers that keep something, and how they are called. Raises `NoAnswer`."""
    settings = deployment.settings

    async def found() -> Sequence[tuple[str, RedisServer]]:
        route = route_to(await apart(lambda: parse_redis(settings.store, base=settings.base)))
        place = without_secrets(settings.store)
        deployment.close_later(route.close)
        try:
            async with asyncio.timeout(PATIENCE):
                servers = await route.servers()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no answer
            raise _no_answer(place, error) from None
        return [(place if one.host is None else f"{one.host[0]}:{one.host[1]}", one) for one in servers]

    return await deployment.once("redis", found)


async def _info(place: str, server: RedisServer) -> Mapping[str, str]:
    told = await _exchange(place, server, ("INFO",))
    lines = told.decode("utf-8", "replace").splitlines() if isinstance(told, bytes) else []
    return dict(line.split(":", 1) for line in lines if ":" in line)


async def _exchange(place: str, server: RedisServer, words: Words) -> object:
    """The reply to a command. Raises `NoAnswer`."""
    try:
        async with asyncio.timeout(PATIENCE):
            (reply,) = await server.exchange([words])
    except Exception as error:  # noqa: BLE001 - whatever it is, there is no answer
        raise _no_answer(place, error) from None
    if isinstance(reply, RedisError):
        raise NoAnswer(f"{place}: refuses what it was asked; let its user call PING, INFO and TIME")
    return reply


def _no_answer(place: str, error: Exception) -> NoAnswer:
    """Without the words of the error: a server may repeat what it was sent."""
    kind = "no answer in time" if isinstance(error, TimeoutError) else f"no answer ({type(error).__name__})"
    return NoAnswer(f"{place}: {kind}; is it running, and are address and password right?")
