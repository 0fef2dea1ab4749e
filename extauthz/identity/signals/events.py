"""What events come to: CAEP 1.0, RISC 1.0 and the events of the Shared Signals Framework itself.

The rules: an event counts from the moment that it says, so that the order in which events come is irrelevant. One that
is known and malformed ends its token; one that is not known, or names nobody here, changes nothing and is told.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Final, Literal

from extauthz.identity.revocations import Kind, Revocation
from extauthz.identity.signals.config import TransmitterSettings
from extauthz.identity.signals.facts import LEVELS, Signal, SignalKey, is_disabled
from extauthz.identity.signals.subjects import SubjectReader
from extauthz.identity.signals.tokens import EventToken, TokenRefused, moment
from extauthz.values.identity import Subject
from extauthz.values.signals import SignalName

_CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
_RISC: Final = "https://schemas.openid.net/secevent/risc/event-type/"
_SSF: Final = "https://schemas.openid.net/secevent/ssf/event-type/"
_LONGEST_REASON: Final = 200

Outcome = Literal["done", "nobody", "unknown", "noted"]
"""What came of an event: it has effects; it names nobody here; nobody knows its type; it asks for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What a token comes to: what is revoked, what is said, whose grants are forgotten, and what came of each event."""

    revocations: tuple[Revocation, ...] = ()
    signals: tuple[Signal, ...] = ()
    voids: tuple[Subject, ...] = ()
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def subjects(self) -> frozenset[Subject]:
        """Whom it is about, a device by its id without an issuer."""
        return frozenset({*(one.subject for one in self.revocations), *(one.subject for one in self.signals)})


def effects_of(token: EventToken, transmitter: TransmitterSettings, *, now: float) -> Effects:
    """What `token` of `transmitter` comes to at `now` (seconds since the epoch).

    Raises:
        TokenRefused: it, or an event in it, is malformed, or about somebody of whom the transmitter may not speak.
    """
    revocations: list[Revocation] = []
    signals: list[Signal] = []
    voids: list[Subject] = []
    outcomes: dict[str, Outcome] = {}
    for kind, payload in token.events.items():
        if kind in _NOTED:
            outcomes[kind] = "noted"
            continue
        work = _EVENTS.get(kind)
        if work is None:
            outcomes[kind] = "unknown"
            continue
        event = _event(token, payload, transmitter, now)
        work(event)
        revocations += event.revocations
        signals += event.signals
        voids += event.voids
        outcomes[kind] = "done" if event.revocations or event.signals or event.voids else "nobody"
    return Effects(
        revocations=tuple(revocations),
        signals=tuple(signals),
        voids=tuple(dict.fromkeys(voids)),
        outcomes=outcomes,
    )


@dataclass(slots=True, kw_only=True)
class _Event:
    """One event, and what it comes to as it is found out."""

    payload: Mapping[str, Any]
    about: SubjectReader
    at: float
    transmitter: TransmitterSettings
    revocations: list[Revocation] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    voids: list[Subject] = field(default_factory=list)

    def word(self, name: str, *allowed: str) -> str:
        """A required text, one of those `allowed` if there are any."""
        value = self.payload.get(name)
        if not isinstance(value, str) or not value or (allowed and value not in allowed):
            expected = f" among {', '.join(allowed)}" if allowed else ""
            raise TokenRefused("invalid_request", f"`{name}` of the event is no text{expected}")
        return value

    def revoke(self, kind: Kind, subjects: Iterable[Subject], id_: str = "") -> None:
        for subject in subjects:
            until = self.at + self.transmitter.keep
            self.revocations.append(Revocation(kind=kind, subject=subject, id=id_, at=self.at, until=until))

    def say(self, name: SignalName, level: str, subjects: Iterable[Subject], *, session: str = "") -> None:
        for subject in subjects:
            self._say(SignalKey("subject", subject.issuer, subject.id, session, name, self.transmitter.name), level)

    def say_of_device(self, name: SignalName, level: str, device: str) -> None:
        self._say(SignalKey("device", "", device, "", name, self.transmitter.name), level)

    def _say(self, key: SignalKey, level: str) -> None:
        signal = Signal(key=key, level=level, reason=_reason(self.payload), at=self.at)
        if is_disabled(signal):
            kept = inf  # until somebody says otherwise
        elif signal.is_calm:
            kept = self.transmitter.max_age  # no older news can come after that
        else:
            kept = self.transmitter.keep
        self.signals.append(replace(signal, until=self.at + kept))


def _event(token: EventToken, payload: Mapping[str, Any], transmitter: TransmitterSettings, now: float) -> _Event:
    subject = token.subject
    # SSF section 4.1.2; drafts, and RISC before it, had the subject in the event.
    if "subject" in payload:
        if subject is not None or not isinstance(payload["subject"], dict):
            raise TokenRefused(
                "invalid_request", "the subject of the event is there twice, or is no subject identifier"
            )
        subject = payload["subject"]
    if subject is None:
        raise TokenRefused("invalid_request", "`sub_id` is missing")
    at = token.occurred_at
    if "event_timestamp" in payload:  # CAEP section 2
        at = moment(payload["event_timestamp"], "event_timestamp", transmitter=transmitter, now=now)
    return _Event(payload=payload, about=SubjectReader(subject, transmitter.about), at=at, transmitter=transmitter)


def _session_revoked(event: _Event) -> None:
    """CAEP section 3.1. A complex subject with a session means that one; without, all of the user's."""
    users, session, scope = event.about.users(), event.about.session(), event.transmitter.about
    unnamed = () if scope.opaque is None else (Subject(scope.opaque, ""),)
    if session is None or not scope.sid:
        event.revoke("tokens", users)
        session = event.about.simple_session()
        if session is not None:
            event.revoke("session", unnamed, session.sid)
    elif session.issuer is None:
        event.revoke("session", users or unnamed, session.sid)
    else:
        owners = tuple(user for user in users if user.issuer == session.issuer)
        event.revoke("session", owners or (Subject(session.issuer, ""),), session.sid)


def _token_claims_change(event: _Event) -> None:
    """CAEP section 3.2: what was issued before says what is no longer so."""
    token = event.about.token()
    if token is not None:
        event.revoke("token", (Subject(token.issuer, ""),), token.jti)
    event.revoke("tokens", event.about.users())


def _credential_change(event: _Event) -> None:
    """CAEP section 3.3: what was proven with a credential that is there no more proves nothing."""
    event.word("credential_type")
    change = event.word("change_type", *LEVELS["credential"])
    users = event.about.users()
    event.say("credential", change, users)
    if change != "create":
        event.voids.extend(users)


def _assurance_level_change(event: _Event) -> None:
    """CAEP section 3.4. Without a direction nobody knows which one it is."""
    event.word("namespace")
    event.word("current_level")
    direction = "unknown"
    if "change_direction" in event.payload:
        direction = event.word("change_direction", "increase", "decrease") + "d"
    users = event.about.users()
    event.say("assurance", direction, users)
    if direction != "increased":
        event.voids.extend(users)


def _device_compliance_change(event: _Event) -> None:
    """CAEP section 3.5. Where no device is named it is said of the user."""
    event.word("previous_status", *LEVELS["compliance"])
    status = event.word("current_status", *LEVELS["compliance"])
    device = event.about.device(simple=True)
    if device is not None:
        event.say_of_device("compliance", status, device)
    elif not event.about.names_device:
        event.say("compliance", status, event.about.users())


def _risk_level_change(event: _Event) -> None:
    """CAEP section 3.8. What is said of tenants and groups is said of nobody here."""
    level = event.word("current_level", *LEVELS["risk"])
    match event.word("principal"):
        case "USER":
            event.say("risk", level, event.about.users())
        case "DEVICE":
            device = event.about.device(simple=True)
            if device is not None:
                event.say_of_device("risk", level, device)
        case "SESSION":
            session = event.about.session()
            if session is not None:
                event.say("risk", level, event.about.users(), session=session.sid)
        case _:
            pass


def _account_disabled(event: _Event) -> None:
    """RISC 1.0. What was issued until then does not come back when the account does."""
    users = event.about.users()
    event.say("account", "disabled", users)
    event.revoke("tokens", users)


def _account_enabled(event: _Event) -> None:
    """RISC 1.0."""
    event.say("account", "enabled", event.about.users())


def _credential_compromise(event: _Event) -> None:
    """RISC 1.0: whoever has the credential may have everything that was issued until then."""
    event.word("credential_type")
    users = event.about.users()
    event.say("compromise", "compromised", users)
    event.revoke("tokens", users)


def _sessions_revoked(event: _Event) -> None:
    """RISC 1.0: all sessions of a user."""
    event.revoke("tokens", event.about.users())


_EVENTS: Final[Mapping[str, Callable[[_Event], None]]] = {
    _CAEP + "session-revoked": _session_revoked,
    _CAEP + "token-claims-change": _token_claims_change,
    _CAEP + "credential-change": _credential_change,
    _CAEP + "assurance-level-change": _assurance_level_change,
    _CAEP + "device-compliance-change": _device_compliance_change,
    _CAEP + "risk-level-change": _risk_level_change,
    _RISC + "account-disabled": _account_disabled,
    _RISC + "account-enabled": _account_enabled,
    _RISC + "credential-compromise": _credential_compromise,
    _RISC + "sessions-revoked": _sessions_revoked,
}
_NOTED: Final = frozenset({_SSF + "verification", _SSF + "stream-updated"})
"""About the stream of events, and nobody in it (SSF section 8)."""


def _reason(payload: Mapping[str, Any]) -> str:
    """Why, in the words of the transmitter: for records and operators, so the one for users is left out."""
    for name in ("risk_reason", "reason", "reason_admin"):
        said = payload.get(name)
        if isinstance(said, dict):  # by language, CAEP section 2
            said = said.get("en", next(iter(said.values()), None))
        if isinstance(said, str) and said:
            return "".join(char if char.isprintable() else " " for char in said[:_LONGEST_REASON])
    return ""
