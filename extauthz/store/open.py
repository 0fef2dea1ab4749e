"""From the `store` setting to a store.

The rule kept here: a store is imported where it is used. The client of Redis is a tenth of what a server would start
with.
"""

from pathlib import Path
from typing import Final

from extauthz.errors import ConfigurationError
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Store
from extauthz.store.redis_address import SCHEMES, parse_redis, without_secrets

_SQLITE: Final = "sqlite:///"


def is_shared(url: str) -> bool:
    """Whether servers on several machines may share the store at `url`."""
    return url.partition("://")[0] in SCHEMES


def file_of(url: str, *, base: Path) -> Path | None:
    """The file of the store at `url`, relative to `base`; `None` if it is in none."""
    return base / url.removeprefix(_SQLITE) if url.startswith(_SQLITE) and len(url) > len(_SQLITE) else None


def open_store(url: str, *, base: Path, patience: float | None = None) -> Store:
    """The store at `url`: `memory:`, `sqlite:///path`, or `redis://…` and its like (`store.redis_address`).

    Paths are relative to `base`; `sqlite:////path` is absolute. A Redis need not be there yet; a call to it may take
    `patience` seconds, as long as the path of a request allows if it is `None`.

    Raises:
        ConfigurationError: the address is none of these, its folder is missing, or a newer version of this program made
            the file.
        StateUnavailable: the file can't be opened or made.
    """
    if url == "memory:":
        return MemoryStore()
    path = file_of(url, base=base)
    if path is not None:
        if not path.parent.is_dir():
            raise ConfigurationError(f"store: the folder `{path.parent}` is not there; make it, or change `store`")
        from extauthz.store.sqlite import SqliteStore

        return SqliteStore(path)
    if is_shared(url):
        from extauthz.store.redis import RedisStore

        return RedisStore(parse_redis(url, base=base), patience=patience)
    raise ConfigurationError(
        f"store: `{without_secrets(url)}` is no address of a store; use `sqlite:///path`, `redis://host` or `memory:`"
    )
