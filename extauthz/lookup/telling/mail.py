"""Letters as mail: one connection, one message and one recipient for each attempt.

The rule: as for webhooks, whatever happens is an outcome. What the server refuses for good of this recipient or of this
message (RFC 5321 section 4.2.1: 5yz) is not tried again; what it refuses of us is for the operator to mend, and is.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiosmtplib

from extauthz.approval.telling.addressing import read_notice
from extauthz.approval.telling.attempts import Delivered, Failed, Outcome
from extauthz.approval.telling.config import EmailSettings
from extauthz.approval.telling.mail import mail_of
from extauthz.approval.telling.wording import shown, wording_of
from extauthz.errors import ConfigurationError, failure_of
from extauthz.lookup.trust import Trust
from extauthz.values.letters import Letter

_FOR_GOOD: Final = 500
_LONGEST_SAID: Final = 200
_LONGEST_LEAVE: Final = 1.0


class Mail:
    """Sends by the server of `settings`. `password` reads it, for each attempt anew; it may wait for a file.

    `pages` is the origin of the approvers' pages. Raises `ConfigurationError` for what can't be used.
    """

    def __init__(self, settings: EmailSettings, *, password: Callable[[], str | None], base: Path, pages: str) -> None:
        self._settings = settings
        self._password = password
        self._pages = pages
        self._trust = Trust(ca=None if settings.ca is None else base / settings.ca)
        password()
        if self._trust != Trust():
            self._trust.context()

    async def send(self, letter: Letter, *, now: float) -> Outcome:
        """Try once, at `now` in seconds since the epoch."""
        try:
            wording = wording_of(read_notice(letter.content), pages=self._pages)
        except ValueError as error:
            return Failed(error=f"can't be told by this version: {error}", is_final=True)
        message = mail_of(letter, wording, sender=self._settings.sender, now=now)
        try:
            password, trusted = await asyncio.to_thread(self._ready)
            await self._hand_over(letter.to, message.as_bytes(), password, trusted)
        except TimeoutError:  # aiosmtplib's are of this kind, too
            return Failed(error=f"not done within {self._settings.timeout:g} s", is_down=True)
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError) as error:
            return _refused(error)
        except aiosmtplib.SMTPResponseException as error:
            return Failed(error=_said(error), is_down=True)
        except (aiosmtplib.SMTPException, ConfigurationError) as error:
            return Failed(error=shown(str(error), longest=_LONGEST_SAID), is_down=True)
        except OSError as error:
            return Failed(error=f"out of reach: {failure_of(error)}", is_down=True)
        return Delivered()

    async def _hand_over(self, to: str, message: bytes, password: str | None, trusted: ssl.SSLContext | None) -> None:
        settings = self._settings
        client = _Client(
            hostname=settings.host,
            port=settings.where,
            use_tls=settings.tls == "implicit",
            start_tls=settings.tls == "starttls",
            tls_context=trusted,
            username=settings.username,
            password=password,
            timeout=settings.timeout,
        )
        try:
            async with asyncio.timeout(settings.timeout):
                await client.connect()
                await client.sendmail(settings.sender, [to], message)
            await _take_leave(client)
        finally:
            client.close()

    def _ready(self) -> tuple[str | None, ssl.SSLContext | None]:
        """In a thread: files are read."""
        return self._password(), None if self._settings.tls == "none" else self._trust.context()


class _Client(aiosmtplib.SMTP):
    """Whose connection is gone when it is closed, also by itself: a server that does not answer the end of TLS, or does
    not read, would keep it."""

    def close(self) -> None:
        """Close the connection at once, whatever is still to be sent."""
        transport = self.transport
        super().close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


async def _take_leave(client: aiosmtplib.SMTP) -> None:
    """RFC 5321 section 4.1.1.10. The server has the message: what it says now, or does not say, changes nothing."""
    with suppress(aiosmtplib.SMTPException, OSError):
        async with asyncio.timeout(_LONGEST_LEAVE):
            await client.quit()


def _refused(error: aiosmtplib.SMTPRecipientsRefused | aiosmtplib.SMTPDataError) -> Failed:
    """What the server says of a recipient or a message concerns no other one."""
    response = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
    return Failed(error=_said(response), is_final=response.code >= _FOR_GOOD)


def _said(response: aiosmtplib.SMTPResponseException) -> str:
    return f"answered with {response.code}: {shown(response.message, longest=_LONGEST_SAID)}"
