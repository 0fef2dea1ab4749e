"""Which person a subject is: nobody approves what they asked for under another name (design section 4).

The rules: spellings that people could take for one name are one person, since who is taken for two could answer to
themselves; and who might be any person is none, so that they neither approve nor ask.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

from extauthz.approval.config import DEFAULT_CLAIM, PersonsSettings
from extauthz.values.approvals import Requesters
from extauthz.values.identity import Identity, Subject

_SPIFFE: Final = "spiffe://"
_UNSEEN: Final = frozenset({"Cc", "Cf"})
"""Categories of characters that nobody sees: controls and formats."""
_IGNORED: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What is of another category and not shown, either (Unicode, Default_Ignorable_Code_Point)."""
_EMAIL, _VERIFIED = "email", "email_verified"


class Persons:
    """Knows people by the claim that the configuration names."""

    def __init__(self, settings: PersonsSettings) -> None:
        self._claim = settings.claim
        self._machines = tuple((one.issuer, sub) for one in settings.machines for sub in one.subs)

    def person(self, subject: Subject, claims: Mapping[str, Any]) -> str | None:
        """The person that a subject with these claims is; `None` for a machine, and where nobody can tell."""
        if self.is_machine(subject):
            return None
        if self._claim == _EMAIL and claims.get(_VERIFIED, True) is not True:
            return None  # OpenID Connect Core section 5.1: anybody could have written it there
        value = subject.id if self._claim == DEFAULT_CLAIM else claims.get(self._claim)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return _folded(value) if isinstance(value, str) else None

    def is_machine(self, subject: Subject) -> bool:
        """Whether this subject is no person: a workload, or one of the machines that the configuration names."""
        if not subject.issuer or subject.id.startswith(_SPIFFE):
            return True
        return any(issuer == subject.issuer and _fits(sub, subject.id) for issuer, sub in self._machines)

    def requesters(self, identity: Identity) -> Requesters | None:
        """Everybody who asks: user, workload, and every actor (RFC 8693 section 4.1).

        `None` where one of them is a person whom nobody can name: they could be the one who approves.
        """
        caller: str | None = None
        persons: list[str] = []
        subjects: list[Subject] = []
        for subject, claims in _chain(identity):
            subjects.append(subject)
            if self.is_machine(subject):
                continue
            person = self.person(subject, claims)
            if person is None:
                return None
            persons.append(person)
            if subject == identity.subject:
                caller = person
        return Requesters(caller=caller, persons=tuple(dict.fromkeys(persons)), subjects=tuple(dict.fromkeys(subjects)))


def person_named(text: str) -> str | None:
    """The person that somebody writes by name, as `Persons.person` has it; `None` if that names nobody."""
    return _folded(text)


def _chain(identity: Identity) -> Iterator[tuple[Subject, Mapping[str, Any]]]:
    if (workload := identity.workload) is not None:
        yield workload.subject, {}
    if (user := identity.user) is None:
        return
    yield user.subject, user.claims
    link = user.actor
    while link is not None:
        yield Subject(link.get("iss", user.iss), link["sub"]), link
        link = link.get("act")


def _folded(text: str) -> str | None:
    """One spelling of a name (what is seen of it in normalization form KC, case folded); `None` of nothing."""
    seen = "".join(one for one in _IGNORED.sub("", text) if unicodedata.category(one) not in _UNSEEN)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold()).strip() or None


def _fits(pattern: str, sub: str) -> bool:
    return sub.startswith(pattern[:-1]) if pattern.endswith("*") else sub == pattern


BY_SUB: Final = Persons(PersonsSettings())
"""Who is who where nothing is configured: by `sub`."""
