"""The enrolment link, and the seat that a browser takes with it at the enrolment page.

The rules: a link says whose factors are meant and that somebody with the right to it let them be set up; it is sealed,
so nobody reads or changes it, and a challenge ticket never passes for one. It does not open the page: the seat does,
which is one browser's cookie, given for a link once.
"""

import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal
from urllib.parse import urlencode

import msgspec

from extauthz.stepup.cookies import read_cookie
from extauthz.stepup.keys import SEAL_NONCE_BYTES, Key, KeyRing, SealBroken
from extauthz.stepup.return_path import PAGES
from extauthz.stepup.ticket import InvalidTicket, credential_in, credential_out
from extauthz.values.identity import ENROLMENT_COOKIE, Credential, Subject

ENROL_PATH: Final = f"{PAGES}enroll"
INVITATION_ID_BYTES: Final = 16
SEAT_ID_BYTES: Final = 16
LONGEST_INVITATION: Final = 7 * 86_400.0
"""Seconds; well below the time that an idle key stays in the ring."""
SESSION_INVITATION: Final = 600.0
"""How many seconds a challenged browser has to begin."""
PROVEN_SECONDS: Final = 900.0
"""How long a browser may change factors after its user has proven one, or has logged in to set up the first one."""

_PLACE: Final = ("extauthz enrolment link",)
_MAX_LINK: Final = 24_576
_SEAT: Final = re.compile(
    r"(?P<kid>[A-Za-z0-9]{1,64})\.(?P<id>[0-9a-f]{32})\.(?P<factor>[0-9a-f]{0,64})\.(?P<until>[0-9]{1,12})"
    r"\.(?P<mac>[A-Za-z0-9_-]{43})"
)

Grounds = Literal["administrator", "provider", "session"]
"""Who let it be: whoever runs the server, or the user's own identity provider, which has just asked them again; by
`session`, whoever holds the user's session, which is enough to change factors with a proof and not for the first one.
"""


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """What a link says. Times in seconds since the epoch: when it was made, and until when it can be begun with.

    `tokens` are those that the challenge rested on which led here, `session` is theirs, `return_path` where it came
    from; an administrator's link has none of these.
    """

    id: str
    subject: Subject
    grounds: Grounds
    issued_at: float
    expires_at: float
    tokens: tuple[Credential, ...] = ()
    session: str = ""
    return_path: str = ""

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """What ends the link, and every seat for it, when it is revoked: itself, and what it rests on."""
        return (Credential(subjects=(self.subject,), issued_at=self.issued_at), *self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A browser's place at the page, for one invitation (by id), good until `until`, in seconds since the epoch.

    With a `factor`, its user has proven one, or has set up the first one, and factors may be changed; the seat ends
    with that factor, so that a reset ends it, too. Each change gives a new seat, and what is added burns the `id` of
    the old one: what one form asks for is done once.
    """

    id: str
    invitation: str
    until: int
    factor: str = ""

    @property
    def proven(self) -> bool:
        """Whether factors may be changed from this seat."""
        return self.factor != ""


def invite(
    subject: Subject,
    *,
    grounds: Grounds,
    issued_at: float,
    expires_at: float,
    keys: KeyRing,
    entropy: Callable[[int], bytes],
    tokens: tuple[Credential, ...] = (),
    session: str = "",
    return_path: str = "",
) -> str:
    """The text of a new invitation, which says what `Invitation` does; `entropy(n)` gives n random bytes."""
    payload = {
        "i": entropy(INVITATION_ID_BYTES).hex(),
        "s": [subject.issuer, subject.id],
        "g": grounds,
        "t": issued_at,
        "x": expires_at,
        "c": [credential_out(token) for token in tokens],
        "e": session,
        "r": return_path,
    }
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    # A `sub` may hold what is no Unicode and must come back as it was.
    return keys.seal(text.encode("utf-8", "surrogatepass"), place=_PLACE, nonce=entropy(SEAL_NONCE_BYTES))


def open_invitation(text: str, keys: KeyRing) -> Invitation:
    """The invitation that `invite` made. Expiry is the caller's to ask.

    Raises:
        InvalidTicket: it is not ours.
    """
    if len(text) > _MAX_LINK or not text.isascii():
        raise InvalidTicket("enrolment link: not made by this server")
    try:
        payload = json.loads(keys.open(text, place=_PLACE).decode("utf-8", "surrogatepass"))
    except SealBroken:
        raise InvalidTicket("enrolment link: not made by this server, or with a key that is gone") from None
    issuer, sub = payload["s"]
    return Invitation(
        id=payload["i"],
        subject=Subject(issuer, sub),
        grounds=payload["g"],
        issued_at=payload["t"],
        expires_at=payload["x"],
        # Not in links from before there were such: they may be as old as LONGEST_INVITATION.
        tokens=tuple(credential_in(token) for token in payload.get("c", ())),
        session=payload.get("e", ""),
        return_path=payload.get("r", ""),
    )


def page_of(invitation: str) -> str:
    """The path and query under which the invitation with this text opens."""
    return f"{ENROL_PATH}?{urlencode({'ticket': invitation})}"


def seat_value(seat: Seat, keys: KeyRing) -> str:
    """The value of the cookie ENROLMENT_COOKIE for this seat."""
    said = f"{keys.newest.kid}.{seat.id}.{seat.factor}.{seat.until}"
    return f"{said}.{_mac(keys.newest, said, seat.invitation)}"


def read_seat(fields: Iterable[str], invitation: Invitation, keys: KeyRing, now: float) -> Seat | None:
    """The seat that these `Cookie` fields give for the invitation, `None` if there is none that is good now."""
    value = read_cookie(fields, ENROLMENT_COOKIE)
    match = _SEAT.fullmatch(value) if value is not None else None
    key = keys.find(match["kid"]) if match is not None else None
    if match is None or key is None:
        return None
    said = match[0][: match.start("mac") - 1]
    if not hmac.compare_digest(_mac(key, said, invitation.id), match["mac"]) or now >= int(match["until"]):
        return None
    return Seat(id=match["id"], invitation=invitation.id, until=int(match["until"]), factor=match["factor"])


def user_handle(invitation: Invitation) -> bytes:
    """What the first authenticator of a subject knows it by: as random as the invitation's id, and nobody's name."""
    return sha256(f"extauthz user handle {invitation.id}".encode()).digest()


def _mac(key: Key, said: str, invitation: str) -> str:
    # No challenge ticket is signed over a text that begins like this: theirs begin with their form.
    signed = f"extauthz enrolment seat {said} {invitation}".encode("ascii")
    return urlsafe_b64encode(hmac.digest(key.ticket, signed, "sha256")).rstrip(b"=").decode("ascii")
