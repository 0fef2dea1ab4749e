"""Where each of several workers listens: at addresses of its own, which follow from those of the configuration.

Calls to one port that several processes share are shared badly, because Envoy makes few connections and each stays
where it is. The rule kept here: no two listeners have one address.
"""

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Final

from extauthz.errors import ConfigurationError
from extauthz.settings import Settings

_LAST_PORT: Final = 65_535


def settings_of(settings: Settings, number: int) -> Settings:
    """The settings of the worker with this number, from 0: its ports are so many higher, its sockets have it in their
    names (`grpc.sock`, `grpc.0.sock`). Port 0 stays: any free one.
    """
    listen = settings.listen.model_copy(
        update={key: _moved(address, number) for key, address in _addresses(settings).items()}
    )
    return settings.model_copy(update={"listen": listen})


def require_shareable(settings: Settings, workers: int) -> None:
    """Find out whether so many workers can serve these settings.

    Raises:
        ConfigurationError: their addresses overlap, or their store is inside of one process.
    """
    if settings.store == "memory:":
        raise ConfigurationError(
            f"store: `memory:` is inside of one process and can't be shared by {workers} workers; use "
            "`sqlite:///extauthz.db` or `redis://…`, or one worker"
        )
    taken: dict[str, str] = {}
    addresses = _addresses(settings)
    for number, key in product(range(workers), addresses):
        address = _moved(addresses[key], number)
        _, _, port = address.rpartition(":")
        if not address.startswith("unix:") and int(port) > _LAST_PORT:
            raise ConfigurationError(f"listen.{key}: {workers} workers need as many ports from here on; begin lower")
        if address in taken and port != "0":
            raise ConfigurationError(
                f"listen.{key}: `{address}` is that of listen.{taken[address]}, too: each of {workers} workers takes "
                f"the next port; leave room between them, as in `{_example(workers, addresses)}`"
            )
        taken[address] = key


def _addresses(settings: Settings) -> Mapping[str, str]:
    """Those that are listened on, by their key."""
    listen, approvals = settings.listen, settings.approvals
    found = {"grpc": listen.grpc, "web": listen.web, "admin": listen.admin}
    if approvals.url is not None or approvals.tokens is not None:
        found["approvals"] = listen.approvals
    if approvals.tokens is not None and listen.approvals_grpc is not None:
        found["approvals_grpc"] = listen.approvals_grpc
    return found


def _moved(address: str, number: int) -> str:
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        return f"unix:{path.with_name(f'{path.stem}.{number}{path.suffix}')}"
    host, _, port = address.rpartition(":")
    return address if port == "0" else f"{host}:{int(port) + number}"


def _example(workers: int, keys: Iterable[str]) -> str:
    step = max(100, workers)
    told = [f'{key}: "127.0.0.1:{9200 + step * index}"' for index, key in enumerate(keys)]
    return f"listen: {{{', '.join(told)}}}"
