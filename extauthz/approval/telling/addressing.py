"""Who is told of what has happened to an approval: the letters that a change of it leaves.

The rule: what happened is known by the approval, its version and its place among what happened at once. So a change
that is made again leaves the same letters again, and whoever gets one twice can tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

import msgspec

from extauthz.approval.telling.config import MAIL, EmailSettings, Mailbox, WebhookSettings
from extauthz.values.approvals import Approval
from extauthz.values.letters import EventKind, Letter
from extauthz.values.well_formed import well_formed


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a letter says: `event` (its id) happened at `at` (seconds since the epoch), and the approval after it."""

    event: str
    kind: EventKind
    at: float
    approval: Approval


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a rule asks at the moment: members of `groups`, `subjects` of the approvers' issuer, and `persons` who are
    on call for it.
    """

    groups: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
    persons: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressees:
    """Everybody who is told, by what they want to be told of. Without any nobody is."""

    webhooks: Mapping[str, frozenset[EventKind]] = field(default_factory=dict)
    email: EmailSettings | None = None

    @classmethod
    def of(cls, webhooks: Sequence[WebhookSettings], email: EmailSettings | None) -> Self:
        """Those of the settings."""
        return cls(webhooks={one.name: frozenset(one.wants) for one in webhooks}, email=email)

    def letters(
        self, approval: Approval, kinds: Sequence[EventKind], audience: Audience, *, now: float
    ) -> tuple[Letter, ...]:
        """The letters about all that has happened at `now` to the approval, which is how it is after it."""
        found = []
        for number, kind in enumerate(kinds):
            notice = Notice(event=f"{approval.id}-{approval.version}-{number}", kind=kind, at=now, approval=approval)
            places = list(self._places(kind, audience))
            if places:
                content = well_formed(notice)
                found += [_letter(notice, content, sink, to) for sink, to in places]
        return tuple(found)

    def _places(self, kind: EventKind, audience: Audience) -> Sequence[tuple[str, Mailbox]]:
        hooks = [(name, "") for name, wanted in self.webhooks.items() if kind in wanted]
        if self.email is None or kind not in self.email.events:
            return hooks
        return hooks + [(MAIL, address) for address in _recipients(self.email, audience)]


def read_notice(content: bytes) -> Notice:
    """What a letter says.

    Raises:
        ValueError: it was written by another version, which said something else.
    """
    return msgspec.json.decode(content, type=Notice)


def _recipients(email: EmailSettings, audience: Audience) -> Sequence[Mailbox]:
    """The addresses, each once, in the order of the configuration."""
    to = email.to
    asked = [
        *(to.groups[name] for name in to.groups if name in audience.groups),
        *(to.subjects[name] for name in to.subjects if name in audience.subjects),
        *(to.persons[name] for name in to.persons if name in audience.persons),
        to.always,
    ]
    return list(dict.fromkeys(address for addresses in asked for address in addresses))


def _letter(notice: Notice, content: bytes, sink: str, to: str) -> Letter:
    return Letter(
        id=sha256(f"{notice.event}\n{sink}\n{to}".encode()).hexdigest()[:32],
        sink=sink,
        to=to,
        event=notice.event,
        kind=notice.kind,
        approval=notice.approval.id,
        at=notice.at,
        content=content,
    )
