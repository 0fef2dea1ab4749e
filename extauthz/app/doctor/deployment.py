"""The deployment that is looked at: its configuration, and what its parts answer when they are asked.

The rules: what several checks want to know is asked once; every question has a limit of time and of bytes; and what
blocks runs in a thread that nobody waits for at the end.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from extauthz.envoy.validate.configured_rules import Configured
from extauthz.errors import ExtauthzError
from extauthz.policy.lint.findings import Finding
from extauthz.policy.policy_set import PolicySet
from extauthz.settings import Settings

PATIENCE: Final = 5.0
"""Seconds that one question may take."""
MOST_BYTES: Final = 32 * 1024 * 1024
"""Of an answer: the whole configuration of an Envoy is long."""

_T = TypeVar("_T")


class NoAnswer(ExtauthzError):
    """Somebody gives no answer; the message says who, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of HTTP, and between which two moments (seconds since the epoch) it was given."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    between: tuple[float, float]

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A GET to ask for a decision about.

    `path` holds its query. `decide` has the server's listener answer a CheckRequest, and tells how many seconds that
    took; it blocks. `through` is the address of an Envoy that is sent the request itself, if there is one. `headers`
    may be credentials: nothing of them is told.
    """

    scheme: str
    host: str
    path: str
    decide: Callable[[bytes], tuple[bytes, float]]
    through: str | None
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is looked at. Belongs to one event loop.

    `config` is the file that `settings` are of. `envoy_admin` is the address of Envoy's administration, if it is known.
    `environ` are the variables that the server has. `served` asks the server's listener for gRPC, `linted` reads the
    policies on disk; both block. `expected` is what the server expects of Envoy. `asking` is what to ask for a decision
    about, if that is wanted.
    """

    config: Path
    settings: Settings
    envoy_admin: str | None
    environ: Mapping[str, str] = field(repr=False)  # it has secrets
    served: Callable[[], str]
    linted: Callable[[], tuple[PolicySet, Sequence[Finding]]]
    expected: Configured
    asking: Asking | None = None
    now: Callable[[], float] = time.time
    _asked: dict[object, "asyncio.Future[Any]"] = field(default_factory=dict)
    _left_open: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def once(self, key: object, work: Callable[[], Awaitable[_T]]) -> _T:
        """What `work` gives, done once for all who ask under this key."""
        if key not in self._asked:
            self._asked[key] = asyncio.ensure_future(work())
        # Who gives up takes nothing from the others.
        found: _T = await asyncio.shield(self._asked[key])
        return found

    def close_later(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have this called at the end."""
        self._left_open.append(close)

    async def close(self) -> None:
        """Give up what is still asked, and close what is open."""
        for asked in self._asked.values():
            asked.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        for close in self._left_open:
            await close()

    async def policies(self) -> tuple[PolicySet, Sequence[Finding]]:
        """The policies on disk, and what is said of them. Raises as `linted` does."""
        return await self.once("policies", lambda: apart(self.linted))

    async def server(self, path: str) -> Reply:
        """What the server answers on `listen.admin`. Raises `NoAnswer`."""
        return await self.asked(self.settings.listen.admin, path, "listen.admin")

    async def envoy(self, path: str) -> Reply:
        """What Envoy's administration answers; only where its address is known. Raises `NoAnswer`."""
        return await self.asked(self.envoy_admin or "", path, "--envoy-admin")

    async def asked(self, address: str, path: str, setting: str) -> Reply:
        """What is answered at this address, which `setting` names. Raises `NoAnswer`."""
        return await self.once((address, path), lambda: _get(address, path, setting))


async def apart(work: Callable[[], _T]) -> _T:
    """What `work` gives, which blocks. Whoever is cancelled leaves it behind."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # it is one where there is no error

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - whoever waits gets it
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await done


async def _get(address: str, path: str, setting: str) -> Reply:
    if address.endswith(":0"):
        raise NoAnswer(f"{setting}: takes any free port, which only the log tells; name one to have it looked at")
    url, transport = way_to(address)
    began = time.time()
    try:
        async with (
            asyncio.timeout(PATIENCE),
            httpx.AsyncClient(transport=transport, timeout=PATIENCE, trust_env=False) as client,
            client.stream("GET", f"{url}{path}") as response,
        ):
            headed = time.time()
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise NoAnswer(f"{address}{path}: longer than {MOST_BYTES} bytes; is it the right address?")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(status=response.status_code, headers=headers, body=bytes(body), between=(began, headed))
    except TimeoutError:
        raise NoAnswer(f"{address}: no answer within {PATIENCE:g} s; is it too busy, or the wrong address?") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoAnswer(
            f"{address}: no answer: {str(error).lower() or type(error).__name__}; is it running, and is `{setting}` its"
            " address?"
        ) from None


def way_to(address: str) -> tuple[str, httpx.AsyncHTTPTransport | None]:
    """The beginning of URLs at an address, and by what it is reached if not by TCP."""
    if address.startswith("unix:"):
        return "http://localhost", httpx.AsyncHTTPTransport(uds=address.removeprefix("unix:"))
    url = address if "://" in address else f"http://{address}"
    for anywhere, here in (("//0.0.0.0:", "//127.0.0.1:"), ("//[::]:", "//[::1]:")):
        url = url.replace(anywhere, here)
    return url.rstrip("/"), None
