"""Counting votes: how many distinct persons, whom the rule asks, have said what.

The rule: whatever is counted is counted anew from what the votes themselves say. One person is one vote, as whomever
they log in; a vote in the place of somebody takes the votes of both. No requester counts.
"""

from collections.abc import Iterable

import msgspec

from extauthz.approval.terms import Terms
from extauthz.values.approvals import Approver, Matter, Proof, Requesters, Vote


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many persons have approved, and how many have denied."""

    approve: int
    deny: int


def tally(terms: Terms, votes: Iterable[Vote], *, opened_at: float, requesters: Requesters, matter: Matter) -> Tally:
    """Count those of the votes, in the order in which they were given, that meet these terms.

    `opened_at` is when the approval was opened, in seconds since the epoch; who was asked is a matter of the time that
    it had waited when the vote was given. Linear in the votes.
    """
    counted: list[Vote] = []
    persons: set[str] = set()
    subjects: set[tuple[str, str]] = set()
    for vote in votes:
        voters = parties(vote)
        if any(requesters.include(one) for one in voters):
            continue
        if any(one.person in persons or (one.subject.issuer, one.subject.id) in subjects for one in voters):
            continue
        if not terms.asks(vote.authority, matter, waited=vote.at - opened_at) or not is_proven(
            terms, vote.proof, vote.at
        ):
            continue
        persons.update(one.person for one in voters)
        subjects.update((one.subject.issuer, one.subject.id) for one in voters)
        counted.append(vote)
    approve = sum(vote.stance == "approve" for vote in counted)
    return Tally(approve=approve, deny=len(counted) - approve)


def parties(vote: Vote) -> tuple[Approver, ...]:
    """Whose votes this one takes: the voter's, and that of whom it was given in the place of."""
    return (vote.approver,) if vote.in_place_of is None else (vote.approver, vote.in_place_of)


def has_voted(votes: Iterable[Vote], approver: Approver) -> bool:
    """Whether one of the votes takes that of this approver, as the same person or as the same subject."""
    return any(
        party.person == approver.person or party.subject == approver.subject
        for vote in votes
        for party in parties(vote)
    )


def is_proven(terms: Terms, proof: Proof | None, at: float) -> bool:
    """Whether a vote at `at` (seconds since the epoch) has the proof that the terms ask for."""
    if not terms.factors:
        return True
    # Of two servers the clock of the one may be ahead, but no proof is fresh because it comes from the future.
    return proof is not None and proof.factor in terms.factors and abs(at - proof.at) < terms.max_age
