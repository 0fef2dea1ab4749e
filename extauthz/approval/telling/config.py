"""The `webhooks:` and `email:` of `approvals:` in extauthz.yaml: who is told of approvals, how, and of what.

The rule: secrets are named by their place, and the address of a chat's hook is one. Only what is named here is reached:
an address inside of a network must be, too.
"""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from extauthz.approval.telling.attempts import Patience
from extauthz.approval.telling.reach import Reach, networks_of
from extauthz.values.block import Block, Count, distinct
from extauthz.values.duration import at_most, longer_than_nothing, seconds
from extauthz.values.letters import EVENT_KINDS, EventKind
from extauthz.values.secret import SecretPlace
from extauthz.values.url import fetch_url

Format = Literal["cloudevents", "slack", "teams"]

MAIL: Final = "email"
"""The name under which mail is where webhooks have theirs."""
ASKING: Final[tuple[EventKind, ...]] = ("opened", "escalated", "broken-glass")
"""What somebody has to do something about."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_OURS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)
# RFC 5321 section 4.1.2, without quoted local parts and without addresses in the place of a domain.
_MAILBOX: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise ValueError(f"`{text}` can't be a name here; write up to 63 of `a-z`, `0-9`, `-` and `_`")
    if text == MAIL:
        raise ValueError(f"`{MAIL}` is the name of what is sent by mail; give the webhook another one")
    return text


def _header(text: str) -> str:
    if _HEADER.fullmatch(text) is None:
        raise ValueError(f"`{text}` is no name of a header")
    if text.lower() in _OURS:
        raise ValueError(f"`{text}` is set for each message; remove it")
    return text.lower()


def _header_value(text: str) -> str:
    if not (text.isascii() and text.isprintable() and text == text.strip()):
        raise ValueError("the value of a header is one line of ASCII text, without spaces around it")
    return text


def _mailbox(text: str) -> str:
    if _MAILBOX.fullmatch(text) is None or ".." in text or text.startswith(".") or ".@" in text:
        raise ValueError(f"`{text}` is no mail address; write `treasury@example.com`")
    return text


def _host(text: str) -> str:
    if _HOST.fullmatch(text) is None:
        raise ValueError(f"`{text}` is no name or address of a server")
    return text


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    networks_of(texts)
    return distinct(texts)


Events = Annotated[tuple[EventKind, ...], AfterValidator(distinct), Field(min_length=1)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Mailboxes = Annotated[tuple[Mailbox, ...], AfterValidator(distinct), Field(min_length=1)]
_Timeout = Annotated[
    float, BeforeValidator(seconds), AfterValidator(longer_than_nothing), AfterValidator(at_most("1m"))
]
_Age = Annotated[float, BeforeValidator(seconds), AfterValidator(longer_than_nothing), AfterValidator(at_most("30d"))]


class AddresseeSettings(Block):
    """What all who are told have in common."""

    timeout: _Timeout = 15.0
    """How long one attempt may take, at most `1m`."""
    attempts: Annotated[Count, Field(ge=1, le=1000)] = 50
    """After how many attempts a message is given up; then it can be told again by `extauthz approvals deliveries`."""
    max_age: _Age = 3 * 86_400.0
    """How old a message may be, at most `30d`, before it is given up."""
    ca: Path | None = None
    """The file with the authorities that the receiver's certificate is checked by. Without it those of the system."""

    @property
    def patience(self) -> Patience:
        """When a letter is given up."""
        return Patience(attempts=self.attempts, max_age=self.max_age)


class HookSettings(AddresseeSettings):
    """Somebody who is told by POST, of whatever it is."""

    name: Annotated[str, AfterValidator(_name)]
    """Its name in metrics, logs and commands. What is left to be told goes by it, so a new name starts anew."""
    format: Format = "cloudevents"
    """What is sent: `cloudevents` for programs, `slack` and `teams` for chats."""
    url: Annotated[str, AfterValidator(fetch_url)] | None = None
    """Where it is told, with `https://`. Either this or `url_from`."""
    url_from: SecretPlace | None = None
    """Where the URL is that is itself a secret, as that of a chat's hook."""
    secrets: tuple[SecretPlace, ...] = ()
    """The secrets that messages are signed with, all of them. Name the old and the new one while they are changed."""
    headers: dict[Annotated[str, AfterValidator(_header)], Annotated[str, AfterValidator(_header_value)]] = Field(
        default_factory=dict
    )
    """Headers that are sent as they are written here. They are no place for secrets."""
    secret_headers: dict[Annotated[str, AfterValidator(_header)], SecretPlace] = Field(default_factory=dict)
    """Headers whose values are secrets, each in a file or a variable."""
    addresses: Annotated[tuple[str, ...], AfterValidator(_networks)] = ()
    """The networks inside which the receiver may be, as `10.20.0.0/16`. Without it only addresses of the internet are
    reached, so that nobody is led inside by a name."""

    @property
    def reach(self) -> Reach:
        """Where it may be."""
        return Reach(networks=networks_of(self.addresses))

    @model_validator(mode="after")
    def _has_one_url(self) -> Self:
        if (self.url is None) == (self.url_from is None):
            raise ValueError("a webhook needs one of `url` and `url_from`; write `url: https://…`")
        if self.url is not None:
            self.check_url(self.url)
        return self

    @model_validator(mode="after")
    def _is_believed(self) -> Self:
        if self.format == "cloudevents" and not self.secrets:
            raise ValueError("without `secrets` nobody could tell who sends it; write `secrets: [{file: PATH}]`")
        for name in sorted(self.headers.keys() & self.secret_headers.keys()):
            raise ValueError(f"`{name}` is in `headers` and in `secret_headers`; keep one")
        return self

    def check_url(self, url: str) -> None:
        """Raise `ValueError` if the URL can never be reached from here, as one with an address of a network."""
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("a URL is ASCII text; write the host as `xn--…` and the path with `%…`")
        host = urlsplit(fetch_url(url)).hostname or ""
        text = "127.0.0.1" if host == "localhost" else host
        try:
            ip_address(text)
        except ValueError:
            return
        if not self.reach.allows(text):
            raise ValueError(f"`{host}` is no address of the internet; if it is meant, write `addresses: [{text}]`")


class WebhookSettings(HookSettings):
    """Somebody who is told of approvals by POST."""

    events: Events | None = None
    """What it is told of. By default all, but a chat only what somebody has to do something about."""

    @property
    def wants(self) -> tuple[EventKind, ...]:
        """What it is told of: all there is, but of what there is to do in a chat."""
        if self.events is not None:
            return self.events
        return EVENT_KINDS if self.format == "cloudevents" else ASKING


class RecipientSettings(Block):
    """Who gets mail, by the names that rules have for them."""

    groups: dict[Annotated[str, Field(min_length=1)], Mailboxes] = Field(default_factory=dict)
    """For groups that rules ask, the addresses."""
    subjects: dict[Annotated[str, Field(min_length=1)], Mailboxes] = Field(default_factory=dict)
    """For subjects that rules ask, the addresses."""
    persons: dict[Annotated[str, Field(min_length=1)], Mailboxes] = Field(default_factory=dict)
    """For persons who are on call, the addresses."""
    always: Annotated[tuple[Mailbox, ...], AfterValidator(distinct)] = ()
    """Addresses that get every mail."""

    @model_validator(mode="after")
    def _are_some(self) -> Self:
        if not (self.groups or self.subjects or self.persons or self.always):
            raise ValueError("nobody gets mail; write `groups: {treasury: [treasury@example.com]}`")
        return self


class EmailSettings(AddresseeSettings):
    """A server that takes mail (RFC 5321), to whom, and from whom."""

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    host: Annotated[str, AfterValidator(_host)]
    """The name or the address of the mail server."""
    port: Annotated[Count, Field(ge=1, le=65_535)] | None = None
    """Its port. By default the usual one for `tls`: 587 for `starttls`, 465 for `implicit`, 25 for `none`."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """`starttls` (RFC 3207), `implicit` (RFC 8314), or `none`, with which everybody on the way can read the mails and
    no password is sent."""
    username: Annotated[str, Field(min_length=1)] | None = None
    """As whom this server logs in. It goes with `password`."""
    password: SecretPlace | None = None
    """The password of `username`."""
    sender: Annotated[Mailbox, Field(alias="from")]
    """The address that mails come from."""
    to: RecipientSettings
    """Who gets mail."""
    events: Events = ASKING
    """What mails are sent about. By default what somebody has to do something about."""

    @property
    def where(self) -> int:
        """The port: the one that is usual for its `tls` unless there is another (RFC 8314 section 3.3, RFC 6409)."""
        return self.port or {"starttls": 587, "implicit": 465, "none": 25}[self.tls]

    @model_validator(mode="after")
    def _keeps_its_password(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("`username` and `password` belong together; write both, or neither")
        if self.password is not None and self.tls == "none":
            raise ValueError("a password would be sent in the clear; write `tls: starttls` or `tls: implicit`")
        return self


def _distinct_names(webhooks: tuple[WebhookSettings, ...]) -> tuple[WebhookSettings, ...]:
    distinct(tuple(one.name for one in webhooks))
    return webhooks


Webhooks = Annotated[tuple[WebhookSettings, ...], AfterValidator(_distinct_names)]
"""The whole list."""
