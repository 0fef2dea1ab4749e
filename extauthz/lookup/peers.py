"""Questions over HTTPS: one whole answer of bounded size and time, or the reason why there is none.

The rule: a client of HTTP is imported for who is asked something, with the first `Peer`; how it behaves is in `https`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from extauthz.errors import ConfigurationError, ExtauthzError, failure_of
from extauthz.files import open_file

TIMEOUT: Final = 5.0
"""Seconds that one question may take, from the connection to the last byte, unless somebody says otherwise."""
MAX_SECRET: Final = 65_536


class OutOfReach(ExtauthzError):
    """Nobody answered, or not in time or within the limits. The message is for the operator."""


class TooLong(OutOfReach):
    """The answer was longer than it may be."""


class OwnCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """The files of the certificate that this server shows of itself, with its chain, and of its key; both in PEM."""

    certificate: Path
    key: Path


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back, whatever its status. `headers` are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Peer:
    """Whoever is trusted by the authorities in the file `ca`, or by those of the system without one.

    `own` is the certificate that is shown to those who want one. `timeout` is in seconds. The files are read again when
    they change. Belongs to one event loop. Raises `ConfigurationError` for files that can't be used.
    """

    def __init__(self, *, ca: Path | None = None, own: OwnCertificate | None = None, timeout: float = TIMEOUT) -> None:
        from extauthz.lookup.https import Connections
        from extauthz.lookup.trust import Trust

        self._connections = Connections(Trust(ca=ca, own=own), timeout=timeout)

    async def ask(
        self,
        method: Literal["GET", "POST"],
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        limit: int,
    ) -> Reply:
        """The answer to one request; `limit` is how many bytes its body may have.

        Raises:
            OutOfReach: there is none.
        """
        return await self._connections.ask(method, url, headers=headers, content=content, limit=limit)

    async def open(self) -> None:
        """Get ready, which is slow, so that the first question is not. Raises `ConfigurationError` as at the start."""
        await self._connections.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()


def read_secret(path: Path) -> str:
    """The secret in a file, without the line end that editors leave.

    Raises:
        ConfigurationError: it can't be read, or is none; the message does not hold it.
    """
    try:
        with open_file(path) as stream:
            content = stream.read(MAX_SECRET + 1)
        text = content.decode("ascii").strip()
    except OSError as error:
        raise ConfigurationError(f"{path}: can't read the secret: {failure_of(error)}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: the secret is not ASCII text") from None
    if not text or len(content) > MAX_SECRET or not text.isprintable():
        raise ConfigurationError(f"{path}: expected one line with a secret")
    return text
