"""The session of an approver: a cookie that says who they are, and what ends it.

The rules: the cookie is sealed, so that nobody reads or changes it; the session ends by itself, when it is logged out,
and with what it rests on: the tokens of its login, by whatever they can be revoked.
"""

import hmac
import zlib
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

from extauthz.errors import ExtauthzError
from extauthz.stepup.cookies import read_cookie
from extauthz.stepup.keys import KeyRing, SealBroken
from extauthz.values.approvals import Approver
from extauthz.values.identity import APPROVER_COOKIE, Credential

SESSION_ID_BYTES: Final = 16
LONGEST_COOKIE: Final = 3800
"""Characters; browsers drop a cookie that is longer than 4096 bytes with its name and attributes (RFC 6265 6.1)."""

_PLACE: Final = ("extauthz approver session",)
_PREFIX: Final = "approver:"


class SessionNotKept(ExtauthzError):
    """What there is to say of the approver fits into no cookie: too many groups or claims, or what is no text."""


class ApproverSession(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in at the approvers' pages; times in seconds since the epoch.

    `tokens` is what the login rests on. `linked`: it was by an administrator's link.
    """

    id: str
    approver: Approver
    tokens: tuple[Credential, ...]
    started_at: float
    expires_at: float
    linked: bool = False

    @property
    def sid(self) -> str:
        """What a revocation of this session names."""
        return _PREFIX + self.id

    @property
    def key(self) -> str:
        """The session as grants have it."""
        return self.sid

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """What ends it when it is revoked: itself, and what it rests on."""
        own = Credential(subjects=(self.approver.subject,), issued_at=self.started_at, sid=self.sid)
        return (own, *self.tokens)

    @property
    def mark(self) -> str:
        """What forms of its pages carry: it tells this session from all others, and opens nothing."""
        return sha256(f"extauthz approver form {self.id}".encode()).hexdigest()[:32]

    def made(self, mark: str) -> bool:
        """Whether a form that carries this mark was made for this session."""
        return hmac.compare_digest(self.mark.encode(), mark.encode("utf-8", "surrogatepass"))


def session_value(session: ApproverSession, keys: KeyRing, nonce: bytes) -> str:
    """The value of the cookie APPROVER_COOKIE; `nonce` are SEAL_NONCE_BYTES fresh random bytes.

    Raises:
        SessionNotKept: no browser would keep it.
    """
    try:
        packed = zlib.compress(msgspec.msgpack.encode(session), 9)
    except UnicodeEncodeError:
        raise SessionNotKept("approvers: a login names somebody by what is no text") from None
    value = keys.seal(packed, place=_PLACE, nonce=nonce).rstrip("=")
    if len(value) > LONGEST_COOKIE:
        raise SessionNotKept(
            f"approvers: the login of `{session.approver.person}` comes to a cookie of {len(value)} bytes, and "
            f"browsers keep {LONGEST_COOKIE}; let the provider send fewer groups"
        )
    return value


def read_session(fields: Iterable[str], keys: KeyRing, *, now: float) -> ApproverSession | None:
    """The session in these `Cookie` fields, `None` if there is none that is good at `now`. Revocations are the caller's
    to ask."""
    value = read_cookie(fields, APPROVER_COOKIE)
    if value is None or len(value) > LONGEST_COOKIE or not value.isascii():
        return None
    form, _, body = value.rpartition(".")
    try:
        packed = keys.open(f"{form}.{body}{'=' * (-len(body) % 4)}", place=_PLACE)
    except SealBroken:
        return None
    session = msgspec.msgpack.decode(zlib.decompress(packed), type=ApproverSession)
    return session if now < session.expires_at else None


def session_id(random: bytes) -> str:
    """The id of a new session from SESSION_ID_BYTES random bytes."""
    return b64encode(random, b"-_").rstrip(b"=").decode("ascii")
