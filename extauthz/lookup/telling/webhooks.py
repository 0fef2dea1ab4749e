"""Letters to webhooks: one POST for each attempt, signed anew.

The rule: whatever happens on the way is an outcome, never an error. It names the webhook by its name alone: the URL may
be a secret, and so may be what the receiver says.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpcore

from extauthz.approval.telling.attempts import Failed, Outcome, answered
from extauthz.approval.telling.cloud_event import CONTENT_TYPE
from extauthz.approval.telling.config import Format, HookSettings
from extauthz.approval.telling.signing import signed_headers
from extauthz.errors import ConfigurationError, failure_of
from extauthz.lookup.telling.reaching import Answer, Astray, post
from extauthz.lookup.telling.secrets import WebhookSecrets
from extauthz.lookup.trust import Trust
from extauthz.values.letters import Letter

Wording = Callable[[bytes, Format], bytes]
"""Makes what is sent of what a letter holds, in a form. Raises `ValueError` for what another version has written."""

_JSON: Final = "application/json; charset=utf-8"


class Webhook:
    """Sends to the webhook of `settings`. `secrets` reads what is secret, for each attempt anew; it may wait for files.
    `wording` says what there is to say.

    Raises `ConfigurationError` for what can't be used.
    """

    def __init__(
        self, settings: HookSettings, *, secrets: Callable[[], WebhookSecrets], base: Path, wording: Wording
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._wording = wording
        self._trust = Trust(ca=None if settings.ca is None else base / settings.ca)
        self._trusted: tuple[object, ssl.SSLContext] | None = None
        secrets()
        if self._trust != Trust():
            self._trust.context()

    async def send(self, letter: Letter, *, now: float) -> Outcome:
        """Try once, at `now` in seconds since the epoch."""
        try:
            body = self._wording(letter.content, self._settings.format)
        except ValueError as error:
            return Failed(error=f"can't be told by this version: {error}", is_final=True)
        try:
            secrets, trusted = await asyncio.to_thread(self._ready)
            answer = await self._post(letter, body, secrets, trusted, now=now)
        except TimeoutError:
            return Failed(error=f"no answer within {self._settings.timeout:g} s", is_down=True)
        except (ConfigurationError, Astray) as error:
            return Failed(error=str(error), is_down=True)
        except OSError as error:
            return Failed(error=f"out of reach: {failure_of(error)}", is_down=True)
        except httpcore.LocalProtocolError:  # its text holds the header that is none
            return Failed(error="a header, or the URL, can't be sent", is_down=True)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            return Failed(error=f"out of reach: {str(error) or type(error).__name__}", is_down=True)
        return answered(answer.status, asked=answer.retry_after, now=now)

    async def _post(
        self, letter: Letter, body: bytes, secrets: WebhookSecrets, trusted: ssl.SSLContext, *, now: float
    ) -> Answer:
        kind = CONTENT_TYPE if self._settings.format == "cloudevents" else _JSON
        return await post(
            secrets.url,
            headers={
                **self._settings.headers,
                **secrets.headers,
                "content-type": kind,
                **signed_headers(secrets.keys, event=letter.event, at=int(now), body=body),
            },
            content=body,
            trusted=trusted,
            reach=self._settings.reach,
            seconds=self._settings.timeout,
        )

    def _ready(self) -> tuple[WebhookSecrets, ssl.SSLContext]:
        """In a thread: files are read. Two at a time do the same twice, and that is all."""
        state = None if self._trust == Trust() else self._trust.state()
        if self._trusted is None or self._trusted[0] != state:
            self._trusted = (state, self._trust.context())
        return self._secrets(), self._trusted[1]
