"""Letters as mail, at a real server of SMTP: what it gets, and what becomes of what it refuses."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd import smtp as smtpd
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from patience import comes
from ports import free_port
from telling.hostile import endless, hangs, hostile
from telling.telling_parts import NOW, PAGES, an_approval, an_email, letters_of

from extauthz.approval.telling.attempts import Delivered, Failed, Outcome
from extauthz.approval.telling.config import EmailSettings
from extauthz.lookup.telling.mail import Mail
from extauthz.values.letters import Letter


class Box:
    """What a server has taken, and what it answers to a recipient and to a message."""

    def __init__(self) -> None:
        self.taken: list[Envelope] = []
        self.over_tls: list[bool] = []
        self.recipient_answer = "250 OK"
        self.message_answer = "250 OK"

    async def handle_RCPT(  # noqa: N802 - the name is the library's
        self, server: smtpd.SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if self.recipient_answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient_answer

    async def handle_DATA(self, server: smtpd.SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        del server
        if self.message_answer.startswith("250"):
            self.taken.append(envelope)
            self.over_tls.append(session.ssl is not None)
        return self.message_answer


class Conversation(smtpd.SMTP):
    """One connection, among all that are open."""

    def __init__(self, conversations: set["Conversation"], *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._conversations = conversations

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._conversations.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._conversations.discard(self)


class Server(Controller):
    """Knows what is open: the library closes its loop over it, and what nobody has closed then fails a later test."""

    conversations: set[Conversation]

    def factory(self) -> Conversation:
        return Conversation(self.conversations, self.handler, **self.SMTP_kwargs)


@contextmanager
def serving(box: Box, **options: Any) -> Iterator[int]:
    server = Server(box, hostname="127.0.0.1", port=free_port(), **options)
    server.conversations = set()
    server.start()
    try:
        yield server.port
    finally:
        assert comes(lambda: not server.conversations)
        server.stop()


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def port(box: Box) -> Iterator[int]:
    with serving(box) as port:
        yield port


def a_letter(settings: EmailSettings) -> Letter:
    return letters_of(an_approval(), email=settings)[0]


def send(settings: EmailSettings, password: Callable[[], str | None] = lambda: None, base: Path = Path()) -> Outcome:
    mail = Mail(settings, password=password, base=base, pages=PAGES)
    return asyncio.run(mail.send(a_letter(settings), now=NOW))


def failure(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed)
    return outcome


def test_a_mail_arrives_at_the_one_whom_it_is_for(box: Box, port: int) -> None:
    settings = an_email(port=port, to={"always": ["treasury@example.com", "audit@example.com"]})
    assert send(settings) == Delivered()
    (envelope,) = box.taken
    assert (envelope.mail_from, envelope.rcpt_tos) == ("extauthz@example.com", ["treasury@example.com"])
    assert isinstance(envelope.content, bytes)
    message = message_from_bytes(envelope.content, policy=SMTP)
    assert message["to"] == "treasury@example.com"
    assert message["message-id"] == f"<{a_letter(settings).id}@example.com>"
    assert f"{PAGES}/approvals/apv-1" in message.get_content()


def test_a_mail_that_is_sent_again_is_the_same_for_whoever_gets_it(box: Box, port: int) -> None:
    for _ in range(2):
        assert send(an_email(port=port)) == Delivered()
    once, again = (message_from_bytes(one.content or b"", policy=SMTP) for one in box.taken)  # type: ignore[arg-type]  # it came as bytes
    assert once["message-id"] == again["message-id"]


@pytest.mark.parametrize(
    ("answer", "is_final"),
    [("550 no such user", True), ("452 mailbox full", False), ("451 greylisted, try later", False)],
)
def test_what_is_said_of_a_recipient_concerns_that_letter_alone(
    box: Box, port: int, answer: str, is_final: bool
) -> None:
    box.recipient_answer = answer
    outcome = failure(send(an_email(port=port)))
    assert (outcome.is_final, outcome.is_down) == (is_final, False)
    assert answer[:3] in outcome.error


def test_what_is_said_of_a_message_concerns_that_letter_alone(box: Box, port: int) -> None:
    box.message_answer = "554 5.7.1 looks like spam\x1b[31m"
    outcome = failure(send(an_email(port=port)))
    assert (outcome.is_final, outcome.is_down) == (True, False)
    assert outcome.error.isprintable()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(made)
    return made


@pytest.fixture
def folder(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path


def passwords(server: smtpd.SMTP, session: Session, envelope: Envelope, mechanism: str, given: object) -> AuthResult:
    del server, session, envelope, mechanism
    right = LoginPassword(b"extauthz", b"correct horse")
    return AuthResult(success=given == right, handled=False)


def test_a_password_is_sent_after_starttls(box: Box, trust: ssl.SSLContext, folder: Path) -> None:
    with serving(box, tls_context=trust, require_starttls=True, auth_required=True, authenticator=passwords) as port:
        settings = an_email(
            host="localhost", port=port, tls="starttls", ca="ca.pem", username="extauthz", password={"file": "p"}
        )
        assert send(settings, lambda: "correct horse", folder) == Delivered()
        assert box.over_tls == [True]
        outcome = failure(send(settings, lambda: "wrong horse", folder))
    assert (outcome.is_down, outcome.is_final) == (True, False)
    assert "535" in outcome.error
    assert "horse" not in outcome.error


def test_a_server_without_starttls_gets_neither_password_nor_mail(box: Box, folder: Path) -> None:
    with serving(box, auth_require_tls=False, authenticator=passwords) as port:
        settings = an_email(
            host="localhost", port=port, tls="starttls", ca="ca.pem", username="extauthz", password={"file": "p"}
        )
        assert failure(send(settings, lambda: "correct horse", folder)).is_down
    assert box.taken == []


def test_a_server_with_a_certificate_of_somebody_else_gets_nothing(
    box: Box, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with serving(box, tls_context=trust, require_starttls=True) as port:
        settings = an_email(host="localhost", port=port, tls="starttls", ca="ca.pem")
        assert failure(send(settings, base=tmp_path)).is_down
    assert box.taken == []


def test_implicit_tls_begins_with_it(box: Box, trust: ssl.SSLContext, folder: Path) -> None:
    async def run() -> Outcome:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: smtpd.SMTP(box), "127.0.0.1", 0, ssl=trust)
        settings = an_email(host="localhost", port=server.sockets[0].getsockname()[1], tls="implicit", ca="ca.pem")
        mail = Mail(settings, password=lambda: None, base=folder, pages=PAGES)
        try:
            return await mail.send(a_letter(settings), now=NOW)
        finally:
            server.close()

    assert asyncio.run(run()) == Delivered()
    assert len(box.taken) == 1


def endless_greeting(taken: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        taken.sendall(b"220-more\r\n" * 100)


BAD = {
    "hangs": hangs,
    "endless-line": endless(b"", b"2" * 65_536),
    "endless-lines": endless_greeting,
    "no-smtp": endless(b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n"),
    "closes": lambda _, __: None,
}


@pytest.mark.parametrize("behaviour", BAD)
def test_no_server_of_mail_holds_up_who_tells(behaviour: str) -> None:
    with hostile(BAD[behaviour]) as receiver:
        outcome = failure(send(an_email(port=receiver.port, timeout="1s")))
    assert (outcome.is_down, outcome.is_final) == (True, False)
    assert outcome.error.isprintable()


def test_nobody_listens_where_mail_should_go() -> None:
    assert failure(send(an_email(port=free_port()))).is_down


def test_a_letter_that_another_version_has_written_is_no_mail(port: int) -> None:
    letter = Letter(
        id="l", sink="email", to="a@example.com", event="e", kind="opened", approval="a", at=NOW, content=b"[]"
    )
    mail = Mail(an_email(port=port), password=lambda: None, base=Path(), pages=PAGES)
    assert failure(asyncio.run(mail.send(letter, now=NOW))).is_final
