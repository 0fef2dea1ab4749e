"""The ticket: what a browser carries to the challenge page or the waiting page in the page's address.

The rule: nothing in it is secret and nothing in it can be changed. It is signed, good for a time and for one proof (the
store burns its id), and names subject, session, demands and the hash of a cookie that only the browser that
was sent has: in any other browser it opens nothing.
"""

import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from extauthz.errors import ExtauthzError
from extauthz.stepup.keys import Key, KeyRing
from extauthz.values.decisions import ChallengeDemand
from extauthz.values.identity import Credential, Subject
from extauthz.values.origin import NO_ORIGIN, Origin

TICKET_SECONDS: Final = 300.0
TICKET_ID_BYTES: Final = 16
MAX_TICKET_LENGTH: Final = 24_576
"""Well below the 60 KiB of headers that Envoy lets through by default."""

_FORM: Final = "t7"  # another one with each change of what is in it: what an older server made is none of ours
_SHAPE: Final = re.compile(r"(t7\.([A-Za-z0-9]{1,64})\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]{43})")
_SHOWN_ROWS: Final = 16
_SHOWN_NAME: Final = 60
_SHOWN_TEXT: Final = 200


Purpose = Literal["challenge", "enrolment", "waiting"]
"""What a ticket is for: to meet its demands; as the state of a login, to let a first factor be set up; to wait."""


class InvalidTicket(ExtauthzError):
    """This text is no ticket of ours, or it was changed."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to happen, for people: method, authority and path of the request that was challenged."""

    method: str
    authority: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What somebody waits for: `approvals` by their ids.

    Who may go through without them is this `person` with these `groups`, of those that the rules name, after meeting
    the demands of the ticket, one for each approval; for nobody else there are any. `reason` is why they want to.
    """

    approvals: tuple[str, ...]
    person: str = ""
    groups: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An opened or a new ticket. `expires_at` in seconds since the epoch, `nonce_hash` from `hash_nonce`.

    `credentials` are the tokens that the challenged identity rests on: what is revoked while a page is open counts
    there, too. `closes`: the page is in a window of a script, which closes after the proof. One for `enrolment` demands
    nothing, and so confirms nothing. `insists`: as the state of a login, that an older one was not enough. `wait` is
    there in one for `waiting`, whose demands nobody meets with it. `origin` is the decision that it was made for.
    `approver` is the person who is asked because they approve something, empty for who is asked for their own request.
    """

    id: str
    subject: Subject
    session: str
    nonce_hash: str
    action: Action
    return_path: str
    expires_at: float
    demands: tuple[ChallengeDemand, ...]
    credentials: tuple[Credential, ...]
    closes: bool = False
    purpose: Purpose = "challenge"
    insists: bool = False
    wait: Wait | None = None
    origin: Origin = NO_ORIGIN
    approver: str = ""

    @property
    def opened_at(self) -> float:
        """When the challenge was, in seconds since the epoch; of one for `waiting` nobody knows by it."""
        return self.expires_at - TICKET_SECONDS

    def fits(self, nonce: str | None) -> bool:
        """Whether the browser with this nonce cookie is the one that was sent."""
        return nonce is not None and hmac.compare_digest(hash_nonce(nonce), self.nonce_hash)


def hash_nonce(nonce: str) -> str:
    """What a ticket says of the nonce cookie."""
    return _encode(sha256(nonce.encode("ascii")).digest())


def sign(ticket: Ticket, keys: KeyRing) -> str:
    """The text of a ticket, URL-safe. What it shows is cut to a bounded length, so that it fits into an address."""
    payload = {
        "i": ticket.id,
        "s": [ticket.subject.issuer, ticket.subject.id],
        "e": ticket.session,
        "n": ticket.nonce_hash,
        "a": [ticket.action.method, ticket.action.authority, _cut(ticket.action.path, _SHOWN_TEXT)],
        "r": ticket.return_path,
        "x": ticket.expires_at,
        "d": [_demand_out(demand) for demand in _shortened(ticket.demands)],
        "c": [credential_out(credential) for credential in ticket.credentials],
        "w": ticket.closes,
        "p": ticket.purpose,
        "l": ticket.insists,
        "v": None if ticket.wait is None else _wait_out(ticket.wait),
        "o": [ticket.origin.decision_id, ticket.origin.span],
        "b": ticket.approver,
    }
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    # A `sub` may hold what is no Unicode (a lone surrogate): it must come back as it was, not as somebody else.
    body = _encode(text.encode("utf-8", "surrogatepass"))
    signed = f"{_FORM}.{keys.newest.kid}.{body}"
    return f"{signed}.{_signature(keys.newest.ticket, signed)}"


def open_ticket(text: str, keys: KeyRing) -> Ticket:
    """The ticket that `sign` made. Nothing of it is read before its signature is good; expiry is the caller's to ask.

    Raises:
        InvalidTicket: it is not ours.
    """
    match = _SHAPE.fullmatch(text) if len(text) <= MAX_TICKET_LENGTH else None
    key = keys.find(match[2]) if match is not None else None
    if match is None or key is None or not hmac.compare_digest(_signature(key.ticket, match[1]), match[4]):
        raise InvalidTicket("ticket: not made by this server")
    body = urlsafe_b64decode(match[3] + "=" * (-len(match[3]) % 4))
    payload: dict[str, Any] = json.loads(body.decode("utf-8", "surrogatepass"))
    issuer, sub = payload["s"]
    method, authority, path = payload["a"]
    decision_id, span = payload["o"]
    return Ticket(
        id=payload["i"],
        subject=Subject(issuer, sub),
        session=payload["e"],
        nonce_hash=payload["n"],
        action=Action(method=method, authority=authority, path=path),
        return_path=payload["r"],
        expires_at=payload["x"],
        demands=tuple(_demand_in(demand) for demand in payload["d"]),
        credentials=tuple(credential_in(credential) for credential in payload["c"]),
        closes=payload["w"],
        purpose=payload["p"],
        insists=payload["l"],
        wait=None if payload["v"] is None else _wait_in(payload["v"]),
        origin=Origin(decision_id=decision_id, span=span),
        approver=payload["b"],
    )


def key_of(text: str, keys: KeyRing) -> Key | None:
    """The key that a ticket says it was signed with; `None` if it is no ticket, or not of the ring."""
    match = _SHAPE.fullmatch(text) if len(text) <= MAX_TICKET_LENGTH else None
    return keys.find(match[2]) if match is not None else None


def _demand_out(demand: ChallengeDemand) -> list[Any]:
    return [
        demand.rule,
        list(demand.factors),
        demand.max_age,
        demand.binding,
        demand.uses,
        demand.acr,
        demand.user_verification,
        demand.description,
        dict(demand.show),
    ]


def _demand_in(fields: list[Any]) -> ChallengeDemand:
    rule, factors, max_age, binding, uses, acr, user_verification, description, show = fields
    return ChallengeDemand(
        rule=rule,
        factors=tuple(factors),
        max_age=max_age,
        binding=binding,
        uses=uses,
        acr=acr,
        user_verification=user_verification,
        description=description,
        show=show,
    )


def _wait_out(wait: Wait) -> list[Any]:
    return [list(wait.approvals), wait.person, list(wait.groups), wait.reason]


def _wait_in(fields: list[Any]) -> Wait:
    approvals, person, groups, reason = fields
    return Wait(approvals=tuple(approvals), person=person, groups=tuple(groups), reason=reason)


def credential_out(credential: Credential) -> list[Any]:
    """A credential as JSON; `credential_in` reads it."""
    subjects = [[subject.issuer, subject.id] for subject in credential.subjects]
    return [subjects, credential.issued_at, credential.sid, credential.jti, credential.digest]


def credential_in(fields: list[Any]) -> Credential:
    """What `credential_out` wrote."""
    subjects, issued_at, sid, jti, digest = fields
    return Credential(
        subjects=tuple(Subject(issuer, id_) for issuer, id_ in subjects),
        issued_at=issued_at,
        sid=sid,
        jti=jti,
        digest=digest,
    )


def _shortened(demands: tuple[ChallengeDemand, ...]) -> Iterator[ChallengeDemand]:
    """The demands with what they show cut: a request's author must not be able to make the address too long."""
    rows = _SHOWN_ROWS
    for demand in demands:
        shown = list(demand.show.items())[:rows]
        rows -= len(shown)
        yield replace(
            demand,
            description=_cut(demand.description, _SHOWN_TEXT),
            show={_cut(name, _SHOWN_NAME): _cut(value, _SHOWN_TEXT) for name, value in shown},
        )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _signature(key: bytes, signed: str) -> str:
    return _encode(hmac.digest(key, signed.encode("ascii"), "sha256"))


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
