"""Approvals and letters that the tests of this folder tell of."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from extauthz.approval.telling.addressing import Addressees, Audience, Notice, read_notice
from extauthz.approval.telling.config import EmailSettings, WebhookSettings
from extauthz.values.approvals import Approval, Picture, Requesters
from extauthz.values.identity import Subject
from extauthz.values.letters import EventKind, Letter

NOW = 1_800_000_000.0
PAGES = "https://approvals.example.com"
SECRET = "whsec_" + b64encode(bytes(range(32))).decode()


def an_approval(*, picture: Picture | None = None, **changed: Any) -> Approval:
    """One that waits."""
    subject = Subject(issuer="https://idp.example.com", id="u1")
    fields: dict[str, Any] = {
        "id": "apv-1",
        "key": "k",
        "rule": "payments/four-eyes",
        "binding": "the-binding",
        "bind": "request",
        "subject": subject,
        "session": "the-session",
        "holder": "the-holder",
        "requesters": Requesters(persons=("una",), subjects=(subject,)),
        "opened_at": NOW,
        "expires_at": NOW + 900,
        "state_at": NOW,
        "picture": picture
        or Picture(
            user="u1",
            issuer="https://idp.example.com",
            workload="spiffe://prod.example.org/ns/shop/sa/web",
            method="POST",
            host="payments.example.com",
            path="/v1/accounts/a1/transfers",
            show={"amount": "250000"},
            why="variables.amount > 100000.0",
        ),
    }
    return Approval(**{**fields, **changed})


def a_notice(kind: EventKind = "opened", **changed: Any) -> Notice:
    """What a letter says."""
    return Notice(event="apv-1-1-0", kind=kind, at=NOW, approval=an_approval(**changed))


def letters_of(
    approval: Approval,
    kinds: Sequence[EventKind] = ("opened",),
    *,
    webhooks: Sequence[WebhookSettings] = (),
    email: EmailSettings | None = None,
    audience: Audience | None = None,
) -> tuple[Letter, ...]:
    """The letters that a change leaves."""
    return Addressees.of(webhooks, email).letters(approval, kinds, audience or Audience(), now=NOW)


def a_hook(**changed: Any) -> WebhookSettings:
    """A webhook that is told of everything."""
    fields = {"name": "audit", "secrets": [{"file": "hook.secret"}]}
    where = {} if "url_from" in changed else {"url": "https://hooks.example.com/in"}
    return WebhookSettings(**{**fields, **where, **changed})


def an_email(**changed: Any) -> EmailSettings:
    """A server of mail on loopback, in the clear."""
    fields = {
        "host": "127.0.0.1",
        "port": 2525,
        "tls": "none",
        "from": "extauthz@example.com",
        "to": {"always": ["treasury@example.com"]},
    }
    return EmailSettings(**{**fields, **changed})


def told(letter: Letter) -> Notice:
    """What it says."""
    return read_notice(letter.content)
