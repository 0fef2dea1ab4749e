"""Staged enforcement: `mode: {enforce_for: …}` obeys a rule for some callers and keeps it in shadow for the rest.

The rule kept here: who is in stays in. A subject's place between 0 and 1 depends on the rule's name and on the subject
and on nothing else, so that a larger share only adds subjects, on every replica alike; each rule draws its own.
"""

from fractions import Fraction
from hashlib import sha256
from math import ceil
from typing import Final

import msgspec

from extauthz.policy.workloads import WorkloadPattern
from extauthz.values.decisions import Mode
from extauthz.values.identity import Identity, Subject

_PLACES: Final = 2**64


def share(percent: float) -> int:
    """The number of places, of 2^64, that a percentage from 0 to 100 takes."""
    return ceil(Fraction(percent) * _PLACES / 100)


def place(rule: str, subject: Subject) -> int:
    """Where a subject stands for a rule (`policy/rule`): one of 2^64 places, by SHA-256."""
    return int.from_bytes(sha256(f"{rule}\n{subject.key}".encode("utf-8", "surrogatepass")).digest()[:8])


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a rule is obeyed: any one of a share of all subjects, subjects by ID, by issuer and ID, workloads."""

    share: int
    subjects: frozenset[str]
    exact_subjects: frozenset[Subject]
    workloads: tuple[WorkloadPattern, ...]

    def mode_for(self, rule: str, identity: Identity) -> Mode:
        """`enforce` for those in the stage; `shadow` for the rest, and for who is nobody."""
        subject, workload = identity.subject, identity.workload
        if workload is not None and any(pattern.fits(workload.id) for pattern in self.workloads):
            return "enforce"
        if subject is None:
            return "shadow"
        if subject.id in self.subjects or subject in self.exact_subjects or place(rule, subject) < self.share:
            return "enforce"
        return "shadow"
