"""Who is told of approvals and events, put together from the settings: what brings letters, and to whom there are any.

The rule: secrets are read when a letter is sent, so that a new one counts at once. What can't be used ends a start;
later it is a failed attempt, and the letter waits.
"""

import random
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from extauthz.app.secrets import SHORTEST, read_place
from extauthz.approval.telling.addressing import Addressees
from extauthz.approval.telling.config import MAIL, AddresseeSettings, EmailSettings, HookSettings
from extauthz.approval.telling.message import approval_message
from extauthz.approval.telling.signing import SigningKey, signing_key
from extauthz.check.deliveries import Addressee, Deliveries, Sender
from extauthz.errors import ConfigurationError
from extauthz.lookup.telling.secrets import WebhookSecrets
from extauthz.record.event_message import event_message
from extauthz.settings import Settings
from extauthz.store.letters import LetterStore
from extauthz.values.secret import SecretPlace

if TYPE_CHECKING:
    from extauthz.lookup.telling.webhooks import Wording


def addressees_of(settings: Settings) -> Addressees:
    """Whom changes of approvals leave letters for."""
    return Addressees.of(settings.approvals.webhooks, settings.approvals.email)


def make_deliveries(settings: Settings, environ: Mapping[str, str], *, store: LetterStore) -> Deliveries:
    """What brings the letters to whoever is told.

    Raises:
        ConfigurationError: a secret or a file of authorities can't be used.
    """
    approvals = settings.approvals
    pages = approvals.url or ""
    places = _Places(settings.base, environ)
    found: dict[str, Addressee] = {}
    hooks: list[tuple[str, HookSettings, Wording]] = [
        *(
            (f"approvals.webhooks[{number}]", one, partial(approval_message, pages=pages))
            for number, one in enumerate(approvals.webhooks)
        ),
        *((f"events.webhooks[{number}]", one, event_message) for number, one in enumerate(settings.events.webhooks)),
    ]
    if hooks:
        # A client of HTTP, and below one of SMTP, is imported for who tells somebody.
        from extauthz.lookup.telling.webhooks import Webhook

        for setting, webhook, wording in hooks:
            secrets = partial(places.of_webhook, webhook, setting)
            sender = Webhook(webhook, secrets=secrets, base=settings.base, wording=wording)
            found[webhook.name] = _addressee(webhook, sender)
    if approvals.email is not None:
        from extauthz.lookup.telling.mail import Mail

        password = partial(places.password, approvals.email)
        mail = Mail(approvals.email, password=password, base=settings.base, pages=pages)
        found[MAIL] = _addressee(approvals.email, mail)
    return Deliveries(store, found, clock=time.time, chance=random.random)


def _addressee(settings: AddresseeSettings, sender: Sender) -> Addressee:
    return Addressee(sender=sender, seconds=settings.timeout, patience=settings.patience)


class _Places:
    """Reads secrets; files are relative to `base`."""

    def __init__(self, base: Path, environ: Mapping[str, str]) -> None:
        self._base = base
        self._environ = environ

    def of_webhook(self, webhook: HookSettings, setting: str) -> WebhookSecrets:
        """All that is secret about a webhook. Raises `ConfigurationError`."""
        url = webhook.url
        if webhook.url_from is not None:
            url = self._read(webhook.url_from, f"{setting}.url_from")
            try:
                webhook.check_url(url)
            except ValueError as error:
                raise ConfigurationError(f"{setting}.url_from: {error}") from None
        assert url is not None  # noqa: S101 - the settings have one of the two
        return WebhookSecrets(
            url=url,
            keys=tuple(
                self._key(place, f"{setting}.secrets[{number}]") for number, place in enumerate(webhook.secrets)
            ),
            headers={
                name: self._read(place, f"{setting}.secret_headers.{name}").strip()
                for name, place in webhook.secret_headers.items()
            },
        )

    def password(self, email: EmailSettings) -> str | None:
        """The password for a server of mail, if there is one. Raises `ConfigurationError`."""
        if email.password is None:
            return None
        # Others have chosen it.
        return self._read(email.password, "approvals.email.password", shortest=1)

    def _key(self, place: SecretPlace, setting: str) -> SigningKey:
        try:
            return signing_key(self._read(place, setting))
        except ValueError as error:
            raise ConfigurationError(f"{setting}: {error}") from None

    def _read(self, place: SecretPlace, setting: str, *, shortest: int = SHORTEST) -> str:
        return read_place(place, setting=setting, base=self._base, environ=self._environ, shortest=shortest)
