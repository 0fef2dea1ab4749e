"""A second, naive account of what a store promises: lists that are searched from end to end, and nothing swept.

Time only goes on in it. It shares no code with the stores but the values and the arithmetic of one limiter.
"""

from dataclasses import dataclass, field, replace
from math import inf

from extauthz.identity.revocations import Revocation
from extauthz.stepup.lockout import FRESH, Limit, Tally, count, give_back
from extauthz.store.protocol import (
    Advance,
    Burn,
    Changed,
    Consumed,
    EnrolledFactor,
    Enrolment,
    Ground,
    Redeemed,
    Redemption,
    Selection,
    SpentTicket,
    Tried,
    UseUp,
)
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject


@dataclass
class Model:
    """The state, as lists of what has happened."""

    grants: list[Grant] = field(default_factory=list)
    uses: list[tuple[str, str, float]] = field(default_factory=list)
    tickets: list[tuple[Subject, str]] = field(default_factory=list)
    factors: list[EnrolledFactor] = field(default_factory=list)
    resets: list[tuple[Subject, float]] = field(default_factory=list)
    most_grants: int = 64
    tallies: dict[str, Tally] = field(default_factory=dict)
    known: dict[tuple[str, str], Tally] = field(default_factory=dict)
    revoked: list[Revocation] = field(default_factory=list)
    touched: list[tuple[Subject, str, float, float]] = field(default_factory=list)

    def repeats(self, grant: str, fingerprint: str, now: float) -> bool:
        return any(used == grant and by == fingerprint != "" and now - at <= 30 for used, by, at in self.uses)

    def look_up(self, subject: Subject, session: str, fingerprint: str, now: float) -> list[Grant]:
        found = []
        for grant in self.grants:
            if grant.subject == subject and grant.session == session and now < grant.expires_at:
                if grant.uses is None or grant.uses > 0:
                    found.append(grant)
                elif self.repeats(grant.id, fingerprint, now):
                    found.append(replace(grant, uses=1))
        return sorted(found, key=lambda grant: (grant.issued_at, grant.id))

    def consume(self, subject: Subject, ids: list[str], fingerprint: str, now: float) -> Consumed:
        after = list(self.grants)
        spent = []
        for id_ in set(ids):
            named = [one for one in self.grants if one.id == id_ and one.subject == subject]
            if not named or named[0].expires_at <= now:
                return Consumed(done=False)
            grant = named[0]
            if grant.uses is None or self.repeats(id_, fingerprint, now):
                continue
            if grant.uses == 0:
                return Consumed(done=False)
            after[after.index(grant)] = replace(grant, uses=grant.uses - 1)
            spent.append((id_, fingerprint, now))
        self.grants, self.uses = after, self.uses + spent
        return Consumed(done=True, used=frozenset(id_ for id_, _, _ in spent))

    def refusal(self, subject: Subject, burn: Burn | None, ticket: SpentTicket | None) -> Redeemed | None:
        if ticket is not None and (subject, ticket.id) in self.tickets:
            return Redeemed.TICKET_USED
        if burn is None:
            return None
        named = [one for one in self.factors if one.subject == subject and one.id == burn.factor]
        if not named or not named[0].confirmed:
            return Redeemed.FACTOR_GONE
        if isinstance(burn, Advance) and burn.mark <= named[0].mark:
            return Redeemed.MARK_USED
        return None

    def burn(self, subject: Subject, burn: Burn | None, ticket: SpentTicket | None) -> None:
        if ticket is not None:
            self.tickets.append((subject, ticket.id))
        if isinstance(burn, UseUp):
            self.factors = [one for one in self.factors if one.id != burn.factor]
        if isinstance(burn, Advance):
            self.factors = [replace(one, mark=burn.mark) if one.id == burn.factor else one for one in self.factors]

    def bar(self, redemption: Redemption, now: float) -> Redeemed | None:
        theirs = [one for one in self.revoked if one.subject == redemption.subject and now < one.until]
        if any(one.kind == "block" for one in theirs):
            return Redeemed.BLOCKED
        if any(one.kind == "tokens" and redemption.since <= one.at for one in theirs):
            return Redeemed.REVOKED
        sessions = {one.session for one in theirs if one.kind == "session"}
        return Redeemed.REVOKED if sessions & {one.session for one in redemption.grants} else None

    def leave(self, redemption: Redemption, now: float) -> None:
        old = [one for one in self.grants if one.subject == redemption.subject and now < one.expires_at]
        while redemption.grants and old and len(old) + len(redemption.grants) > self.most_grants:
            used = [one for one in old if one.uses == 0]
            first = min(used or old, key=lambda one: (one.issued_at, one.id))
            old.remove(first)
            self.grants.remove(first)
        self.grants += redemption.grants

    def put_revocation(self, revocation: Revocation, now: float) -> tuple[Revocation, int]:
        same = [one for one in self.revoked if one.key == revocation.key]
        for one in same:
            self.revoked.remove(one)
            revocation = revocation.widened(one, now=now)
        self.revoked.append(revocation)
        if revocation.kind == "tokens":
            return revocation, self.revoke(Selection(subject=revocation.subject), now)
        if revocation.kind == "session":
            return revocation, self.revoke(Selection(subject=revocation.subject, session=revocation.session), now)
        return revocation, 0

    def withdraw_revocation(self, revocation: Revocation, now: float) -> bool:
        same = [one for one in self.revoked if one.key == revocation.key]
        self.revoked = [one for one in self.revoked if one not in same]
        return any(now < one.until for one in same)

    def redeem(self, redemption: Redemption, now: float) -> Redeemed:
        barred = self.bar(redemption, now)
        if barred is not None:
            return barred
        refused = self.refusal(redemption.subject, redemption.burn, redemption.ticket)
        if refused is not None:
            return refused
        self.burn(redemption.subject, redemption.burn, redemption.ticket)
        self.leave(redemption, now)
        for limit in redemption.limits:
            self.tallies[limit.key] = give_back(self.tallies.get(limit.key, FRESH), limit, now)
        if redemption.known_to is not None:
            place = (redemption.known_to.key, redemption.known_to.holder)
            own = self.known.get(place, FRESH)
            if redemption.known_to.holder.startswith("cookie:"):
                own = FRESH
            elif not redemption.limits:
                own = give_back(own, redemption.known_to, now)
            self.known[place] = own
        return Redeemed.DONE

    def objection(
        self, subject: Subject, ground: Ground | None, ticket: SpentTicket | None, now: float
    ) -> Changed | None:
        theirs = [one for one in self.factors if one.subject == subject and one.confirmed]
        if ticket is not None and (subject, ticket.id) in self.tickets:
            return Changed.TICKET_USED
        if ground is not None and any(of == subject and ground.laid_at <= at for of, at in self.resets):
            return Changed.GROUND_GONE
        if ground is not None and ground.since != inf:
            for one in self.revoked:
                is_meant = one.kind == "block" or (one.kind == "tokens" and one.at >= ground.since)
                is_meant = is_meant or (one.kind == "session" and one.session == ground.session)
                if one.subject == subject and now < one.until and is_meant:
                    return Changed.GROUND_GONE
        if ground is not None and ground.factor and ground.factor not in [one.id for one in theirs]:
            return Changed.GROUND_GONE
        if ground is not None and not ground.factor and any(one.kind != "recovery" for one in theirs):
            return Changed.NOT_FIRST
        return None

    def confirm(
        self, subject: Subject, advance: Advance, ground: Ground | None, ticket: SpentTicket | None, now: float
    ) -> Changed:
        refused = self.objection(subject, ground, ticket, now)
        if refused is not None:
            return refused
        named = [one for one in self.factors if one.subject == subject and one.id == advance.factor]
        if not named:
            return Changed.FACTOR_GONE
        if advance.mark <= named[0].mark:
            return Changed.MARK_USED
        self.burn(subject, advance, ticket)
        self.factors = [replace(one, confirmed=True) if one.id == advance.factor else one for one in self.factors]
        return Changed.DONE

    def rename(self, subject: Subject, name: str, called: str, ground: Ground | None, now: float) -> Changed:
        refused = self.objection(subject, ground, None, now)
        if refused is not None:
            return refused
        named = [one for one in self.factors if one.subject == subject and one.id == name]
        self.factors = [replace(one, name=called) if one in named else one for one in self.factors]
        return Changed.DONE if named else Changed.FACTOR_GONE

    def remove(self, subject: Subject, name: str, ground: Ground | None, now: float) -> Changed:
        refused = self.objection(subject, ground, None, now)
        if refused is not None:
            return refused
        theirs = [one for one in self.factors if one.subject == subject]
        if name not in [one.id for one in theirs]:
            return Changed.FACTOR_GONE
        if [one.id for one in theirs if one.confirmed and one.kind != "recovery"] == [name]:
            return Changed.LAST
        self.factors = [one for one in self.factors if one.id != name]
        return Changed.DONE

    def attempt(self, limits: list[Limit], now: float) -> Tried:
        for limit in limits:
            own = self.known.get((limit.key, limit.holder))
            if own is not None:
                if own.locked_until > now:
                    return Tried(wait=own.locked_until - now)
                self.known[limit.key, limit.holder] = after = count(own, limit, now)
                return Tried(locks=max(after.locked_until - now, 0.0))
        waits = [self.tallies.get(limit.key, FRESH).locked_until - now for limit in limits]
        if any(wait > 0 for wait in waits):
            return Tried(wait=max(waits))
        locks = [0.0]
        for limit in limits:
            self.tallies[limit.key] = after = count(self.tallies.get(limit.key, FRESH), limit, now)
            locks.append(after.locked_until - now)
        return Tried(counted=tuple(limits), locks=max(locks))

    def times(self, subject: Subject, session: str, now: float) -> tuple[float, float] | None:
        began = seen = until = -1.0
        for of, name, at, end in self.touched:
            if (of, name) != (subject, session):
                continue
            if until > at:
                seen, until = max(seen, at), max(until, end)
            else:
                began, seen, until = at, at, end
        return (began, seen) if until > now else None

    def enroll(self, enrolment: Enrolment, now: float) -> Changed:
        theirs = [one for one in self.factors if one.subject == enrolment.subject]
        refused = self.objection(enrolment.subject, enrolment.ground, enrolment.ticket, now)
        if refused is not None:
            return refused
        if enrolment.ticket is not None:
            self.tickets.append((enrolment.subject, enrolment.ticket.id))
        new = {one.kind for one in enrolment.factors}
        for one in theirs:
            if one.kind in enrolment.replaces or (one.kind in new and not one.confirmed):
                self.factors.remove(one)
        self.factors += enrolment.factors
        return Changed.DONE

    def revoke(self, selection: Selection, now: float) -> int:
        gone = [one for one in self.grants if self.is_meant(selection, one)]
        self.grants = [one for one in self.grants if one not in gone]
        return sum(one.expires_at > now and one.uses != 0 for one in gone)

    def is_meant(self, selection: Selection, grant: Grant) -> bool:
        named = ((selection.subject, grant.subject), (selection.session, grant.session), (selection.rule, grant.rule))
        return all(wanted is None or wanted == has for wanted, has in named)

    def reset(self, subject: Subject, limits: list[Limit], now: float) -> int:
        self.resets.append((subject, now))
        had = [one for one in self.factors if one.subject == subject]
        self.factors = [one for one in self.factors if one not in had]
        self.grants = [one for one in self.grants if one.subject != subject]
        for limit in limits:
            self.tallies.pop(limit.key, None)
            self.known = {place: tally for place, tally in self.known.items() if place[0] != limit.key}
        return len(had)
