"""What transmitters have said of users, workloads and devices, and still holds.

The rules: of what one transmitter says under one name the newest holds, whatever came last; of what several say, the
worst does. Nothing that a transmitter says takes back what somebody else has said or done.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, Literal, NamedTuple

from extauthz.errors import SubjectBlocked
from extauthz.values.identity import Identity, Subject
from extauthz.values.signals import OutsideSignal, SignalName

LEVELS: Final[Mapping[SignalName, tuple[str, ...]]] = {
    "account": ("enabled", "disabled"),
    "assurance": ("increased", "unknown", "decreased"),
    "compliance": ("compliant", "not-compliant"),
    "compromise": ("compromised",),
    "credential": ("create", "update", "delete", "revoke"),
    "risk": ("LOW", "MEDIUM", "HIGH"),
}
"""The levels of each name, from the best to the worst."""
_CALM: Final = frozenset(
    {("account", "enabled"), ("assurance", "increased"), ("compliance", "compliant"), ("risk", "LOW")}
)

_KIND: Final = "signal"
"""What keys of signals begin with, where stores have them beside keys of revocations."""

About = Literal["subject", "device"]


class SignalKey(NamedTuple):
    """What tells a signal from others: whom it is about, under which name, and who says it.

    `issuer` and `id` are those of a subject, or empty and the id of a device; `session` is the `sid` of the session
    that it is about alone, empty for all.
    """

    about: About
    issuer: str
    id: str
    session: str
    name: SignalName
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What `source` says of somebody. Times are seconds since the epoch: it was so at `at`, and is forgotten at
    `until`."""

    key: SignalKey
    level: str
    reason: str = ""
    at: float
    until: float = inf

    @property
    def subject(self) -> Subject:
        """Whom it is about; of a device, its id without an issuer."""
        return Subject(self.key.issuer, self.key.id)

    @property
    def rank(self) -> int:
        """How bad it is, among those of its name."""
        return LEVELS[self.key.name].index(self.level)

    @property
    def is_calm(self) -> bool:
        """Whether it says that all is well."""
        return (self.key.name, self.level) in _CALM

    @property
    def content(self) -> str:
        """All but the key and the times, as stores keep it."""
        return json.dumps([self.level, self.reason], separators=(",", ":"))

    def follows(self, other: "Signal") -> bool:
        """Whether this takes the place of the `other` one of the same key: it is newer, or worse at the same moment."""
        return (self.at, self.rank, self.content) > (other.at, other.rank, other.content)


def signal_of(key: SignalKey, content: str | bytes, *, at: float, until: float) -> Signal:
    """The signal of which a store has kept this."""
    level, reason = json.loads(content)
    return Signal(key=key, level=level, reason=reason, at=at, until=until)


def signal_key(text: str | bytes) -> SignalKey | None:
    """The key that `key_text` has written, `None` for the key of something else."""
    kind, *parts = json.loads(text)
    return SignalKey(*parts) if kind == _KIND else None


def key_text(key: SignalKey) -> str:
    """The key as stores write it: as JSON it is ASCII, whatever was in a claim."""
    return json.dumps([_KIND, *key], separators=(",", ":"))


_Place = tuple[About, str, str]


class Signals:
    """All that is known, to be asked about identities and devices; never changes."""

    def __init__(self, signals: Iterable[Signal] = ()) -> None:
        self._places: dict[_Place, tuple[Signal, ...]] = {}
        self._put(signals)

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def changed(self, put: Iterable[Signal]) -> "Signals":
        """The same with what is `put` in the place of what has its key."""
        made = Signals()
        made._places = dict(self._places)
        made._put(put)
        return made

    def without_ended(self, now: float) -> "Signals":
        """The same without what has ended at `now`."""
        return Signals(signal for signals in self._places.values() for signal in signals if signal.until > now)

    def of_subject(self, subject: Subject, session: str | None, *, now: float) -> tuple[OutsideSignal, ...]:
        """What is said of a subject, and of its session with this `sid`."""
        found = self._places.get(("subject", subject.issuer, subject.id))
        if found is None:  # as of nearly everybody
            return ()
        return _worst(signal for signal in found if signal.until > now and signal.key.session in ("", session))

    def of_device(self, device: str, *, now: float) -> tuple[OutsideSignal, ...]:
        """What is said of a device."""
        return _worst(signal for signal in self._places.get(("device", "", device), ()) if signal.until > now)

    def check(self, identity: Identity, *, now: float) -> None:
        """Return if no account is disabled of those that `identity` names at `now` (seconds since the epoch).

        Raises:
            SubjectBlocked: that of its user, its workload or an actor is.
        """
        if not self._places:
            return
        workload = identity.workload
        if workload is not None and self._is_disabled(workload.subject, now):
            raise SubjectBlocked("signals: the account of the workload is disabled")
        for credential in identity.credentials:
            for place, subject in enumerate(credential.subjects):
                if self._is_disabled(subject, now):
                    what = "an actor" if place else "the subject"
                    raise SubjectBlocked(f"signals: the account of {what} of the token is disabled")

    def names(self, identity: Identity) -> bool:
        """Whether anything is said of whom `identity` names, at any time: else `check` never refuses it."""
        if not self._places:
            return False
        workload = identity.workload
        subjects = [] if workload is None else [workload.subject]
        for credential in identity.credentials:
            subjects += credential.subjects
        return any(("subject", subject.issuer, subject.id) in self._places for subject in subjects)

    def _is_disabled(self, subject: Subject, now: float) -> bool:
        found = self._places.get(("subject", subject.issuer, subject.id), ())
        return any(is_disabled(signal) and signal.until > now for signal in found)

    def _put(self, signals: Iterable[Signal]) -> None:
        for signal in signals:
            place = signal.key.about, signal.key.issuer, signal.key.id
            others = tuple(one for one in self._places.get(place, ()) if one.key != signal.key)
            self._places[place] = (*others, signal)


def is_disabled(signal: Signal) -> bool:
    """Whether it says that the account of its subject is disabled."""
    return signal.key.name == "account" and signal.level == "disabled"


def _worst(signals: Iterable[Signal]) -> tuple[OutsideSignal, ...]:
    """Of each name the worst, of several as bad the newest."""
    worst: dict[SignalName, Signal] = {}
    for signal in signals:
        other = worst.get(signal.key.name)
        if other is None or (signal.rank, signal.at) > (other.rank, other.at):
            worst[signal.key.name] = signal
    return tuple(
        OutsideSignal(name=name, level=one.level, reason=one.reason, source=one.key.source, at=one.at)
        for name, one in sorted(worst.items())
    )
