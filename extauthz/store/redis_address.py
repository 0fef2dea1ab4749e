"""What the `store` setting says of a Redis: the forms of its address.

The rule: a password is read from the address or from a file, and no message repeats it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import open_file, read_text

SCHEMES: Final = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
_PORTS: Final = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_PARAMETERS: Final = frozenset({"password_file", "sentinel_password_file", "ca", "cert", "key", "db", "prefix"})
_HOST: Final = re.compile(r"(?:\[([0-9a-fA-F:.%]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_LOGIN: Final = re.compile(r"\A([A-Za-z+]*:/*)?.*@", re.DOTALL)
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

Kind = Literal["server", "sentinel", "cluster"]
Host = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Where a Redis is and how to log in.

    `hosts` are the server, or Sentinels, or some nodes of the cluster; none with a Unix `socket`. `service` is the name
    that the Sentinels know. `shown` is the address without secrets. With `tls` the server's certificate must be
    of `ca` (the system's authorities if there is none) and for its host; `cert` and `key` are the client's own.
    """

    kind: Kind
    shown: str
    hosts: tuple[Host, ...] = ()
    socket: str = ""
    service: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    prefix: str = "extauthz"


def without_secrets(url: str) -> str:
    """The address as it may be shown: without user and password, however that is written or mistyped."""
    place, mark, query = _LOGIN.sub(r"\1", url, count=1).partition("?")
    known = [pair for pair in query.split("&") if pair.partition("=")[0] in _PARAMETERS]
    return f"{place}{mark if known else ''}{'&'.join(known)}"


def files_in(url: str, *, base: Path) -> Mapping[str, Path]:
    """The files that an address names, by parameter, as far as it can be read; relative to `base`."""
    query = url.partition("?")[2].partition("#")[0]
    return {name: base / value for name, value in parse_qsl(query) if name in _PARAMETERS - {"db", "prefix"}}


def parse_redis(url: str, *, base: Path) -> RedisAddress:
    """The address in `url`; files in it are relative to `base`.

    redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DB], redis+unix:///SOCKET,
    redis[s]+sentinel://[…@]HOST[:PORT][,…]/SERVICE[/DB], redis[s]+cluster://[…@]HOST[:PORT][,…], and the parameters
    `password_file`, `sentinel_password_file`, `ca`, `cert`, `key`, `db`, `prefix`.

    Raises:
        ConfigurationError: it is no such address, or a file that it names can't be read.
    """
    shown = without_secrets(url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _wrong(shown, "it is no address") from error
    if "@" in url and "@" not in parts.netloc:
        # Nothing of it may be taken for a host or a parameter, and be told.
        raise _wrong(shown, "write `/`, `?`, `#` and `@` in a password as `%2F`, `%3F`, `%23` and `%40`")
    scheme, _, form = parts.scheme.partition("+")
    kind: Kind = "cluster" if form == "cluster" else "sentinel" if form == "sentinel" else "server"
    parameters = _parameters(parts.query, shown)
    if parts.fragment:
        raise _wrong(shown, "what follows `#` means nothing; leave it out")
    username, password = _login(parts.netloc.rpartition("@")[0], parameters, base, shown)
    hosts, socket, rest = _place(parts, form, shown)
    service, rest = rest.partition("/")[::2] if kind == "sentinel" else ("", rest)
    if kind == "sentinel" and not service:
        raise _wrong(shown, "name the service after the hosts, as in `redis+sentinel://a,b,c/mymaster`")
    if kind == "server" and "," in hosts:
        raise _wrong(shown, "one server has one host; write `redis+sentinel://…/SERVICE` or `redis+cluster://…`")
    files = _files(parameters, base, shown, tls=scheme == "rediss")
    return RedisAddress(
        kind=kind,
        shown=shown,
        hosts=() if socket else tuple(_host(one, kind, shown) for one in hosts.split(",")),
        socket=socket,
        service=service,
        database=_database(parameters.get("db", rest or "0"), kind, shown),
        username=username,
        password=password,
        sentinel_password=_secret(parameters, "sentinel_password_file", base),
        tls=scheme == "rediss",
        ca=files.get("ca"),
        cert=files.get("cert"),
        key=files.get("key"),
        prefix=_prefix(parameters.get("prefix", "extauthz"), shown),
    )


def _place(parts: SplitResult, form: str, shown: str) -> tuple[str, str, str]:
    """The hosts, the Unix socket, and what follows them."""
    hosts = parts.netloc.rpartition("@")[2]
    if form != "unix":
        return hosts, "", parts.path.strip("/")
    if hosts or len(parts.path) < 2:
        raise _wrong(shown, "write `redis+unix:///run/redis/redis.sock`")
    return "", unquote(parts.path), ""


def _wrong(shown: str, mend: str) -> ConfigurationError:
    return ConfigurationError(f"store: `{shown}`: {mend}")


def _parameters(query: str, shown: str) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if query else []
    except ValueError as error:
        raise _wrong(shown, "what follows `?` are no parameters; write `?ca=redis-ca.pem`") from error
    for name, value in pairs:
        if name not in _PARAMETERS or not value:
            raise _wrong(shown, f"`{name}` is no parameter with a value; known are {', '.join(sorted(_PARAMETERS))}")
    if len(dict(pairs)) < len(pairs):
        raise _wrong(shown, "a parameter is there twice")
    return dict(pairs)


def _login(login: str, parameters: Mapping[str, str], base: Path, shown: str) -> tuple[str | None, str | None]:
    user, colon, password = login.partition(":")
    if login and not colon and "password_file" not in parameters:
        raise _wrong(shown, "write a password as `:PASSWORD@`, or name a `password_file`")
    if password and "password_file" in parameters:
        raise _wrong(shown, "there is a password and a `password_file`; leave one of them")
    secret = unquote(password) if password else _secret(parameters, "password_file", base)
    return unquote(user) or None, secret


def _secret(parameters: Mapping[str, str], name: str, base: Path) -> str | None:
    if name not in parameters:
        return None
    path = base / parameters[name]
    try:
        secret = read_text(path, "password").rstrip("\r\n")
    except ConfigurationError as error:
        raise ConfigurationError(f"store: {error}") from error
    if not secret:
        raise ConfigurationError(f"store: {path}: the password is empty; write it, or remove `{name}`")
    return secret


def _host(text: str, kind: Kind, shown: str) -> Host:
    matched = _HOST.fullmatch(text)
    port = int(matched[3]) if matched is not None and matched[3] else _PORTS[kind]
    if matched is None or not 0 < port < 65536:
        raise _wrong(shown, f"`{text}` is no host; write `redis.example.com:6379`")
    return (matched[1] or matched[2], port)


def _database(text: str, kind: Kind, shown: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise _wrong(shown, f"`{text}` is no number of a database; write `/0`")
    if kind == "cluster" and int(text) != 0:
        raise _wrong(shown, "a cluster has no databases; leave the number out, and keep apart by `?prefix=…`")
    return int(text)


def _files(parameters: Mapping[str, str], base: Path, shown: str, *, tls: bool) -> dict[str, Path]:
    named = {name: base / parameters[name] for name in ("ca", "cert", "key") if name in parameters}
    if named and not tls:
        raise _wrong(shown, "certificates are for `rediss`; write `rediss://…`")
    if ("cert" in named) != ("key" in named):
        raise _wrong(shown, "`cert` and `key` need each other; name both")
    for name, path in named.items():
        try:
            open_file(path).close()
        except OSError as error:
            raise ConfigurationError(
                f"store: {path}: {failure_of(error)}; name the file that is the `{name}` of the store"
            ) from error
    return named


def _prefix(text: str, shown: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise _wrong(shown, f"`{text}` is no prefix; write letters, digits, `.`, `_` and `-`")
    return text
