"""A store in the memory of one process: for tests, trials and a single worker that may forget on a restart.

The rule: no method waits while it holds the lock, so each is atomic, from any thread and any event loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

from extauthz.errors import StateUnavailable
from extauthz.identity.revocations import Revocation, RevocationKey
from extauthz.stepup.fingerprint import REPEAT_SECONDS
from extauthz.stepup.lockout import FRESH, Limit, Tally, count, give_back
from extauthz.store.memory_revocations import MemoryRevocations
from extauthz.store.protocol import CLOCK_SKEW, SWEEP_SECONDS, Redeemed, Redemption, TotpFactor, TotpStep
from extauthz.store.revocations import Changes, Revoked
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class _UsedProof:
    by: str
    at: float
    expires_at: float


class MemoryStore:
    """`memory:`. Implements `store.protocol.Store`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._closed = False
        self._grants: dict[str, Grant] = {}
        self._uses: dict[tuple[str, str], float] = {}
        self._tickets: dict[str, float] = {}
        self._proofs: dict[str, _UsedProof] = {}
        self._factors: dict[str, TotpFactor] = {}
        self._tallies: dict[str, Tally] = {}
        self._revocations = MemoryRevocations()
        self._sweep_at = 0.0

    async def grants(self, subject: Subject, session: str, *, fingerprint: str, now: float) -> tuple[Grant, ...]:
        with self._lock:
            self._check_open()
            found: list[Grant] = []
            for grant in self._grants.values():
                if grant.subject != subject or grant.session != session or grant.expires_at <= now:
                    continue
                if grant.uses != 0:
                    found.append(grant)
                elif self._repeats(grant.id, fingerprint, now):
                    found.append(replace(grant, uses=1))
            return tuple(sorted(found, key=lambda grant: (grant.issued_at, grant.id)))

    async def consume(self, grants: Sequence[str], *, fingerprint: str, now: float) -> bool:
        with self._lock:
            self._check_open()
            left: dict[str, Grant] = {}
            for id_ in dict.fromkeys(grants):
                grant = self._grants.get(id_)
                if grant is None or grant.expires_at <= now:
                    return False
                if grant.uses is None or self._repeats(id_, fingerprint, now):
                    continue
                if grant.uses == 0:
                    return False
                left[id_] = replace(grant, uses=grant.uses - 1)
            self._grants |= left
            if fingerprint:
                self._uses |= {(id_, fingerprint): now for id_ in left}
            self._sweep(now)
            return True

    async def redeem(self, redemption: Redemption, *, now: float) -> Redeemed:
        with self._lock:
            self._check_open()
            ticket, step = redemption.ticket, redemption.step
            factor = self._factors.get(step.factor)
            if ticket is not None and ticket.id in self._tickets:
                return Redeemed.TICKET_USED
            if factor is None or not factor.confirmed:
                return Redeemed.FACTOR_GONE
            if step.step <= factor.last_step:
                return Redeemed.STEP_USED
            if ticket is not None:
                self._tickets[ticket.id] = ticket.expires_at
            self._factors[factor.id] = replace(factor, last_step=step.step)
            self._grants |= {grant.id: grant for grant in redemption.grants}
            for limit in redemption.limits:
                self._tallies[limit.key] = give_back(self._tallies.get(limit.key, FRESH), limit, now)
            self._sweep(now)
            return Redeemed.DONE

    async def use_proof(self, proof: str, *, expires_at: float, fingerprint: str, now: float) -> bool:
        with self._lock:
            self._check_open()
            used = self._proofs.get(proof)
            if used is not None:
                return fingerprint != "" and used.by == fingerprint and now - used.at <= REPEAT_SECONDS
            self._proofs[proof] = _UsedProof(by=fingerprint, at=now, expires_at=expires_at)
            self._sweep(now)
            return True

    async def attempt(self, limits: Sequence[Limit], *, now: float) -> float:
        with self._lock:
            self._check_open()
            tallies = [(limit, self._tallies.get(limit.key, FRESH)) for limit in limits]
            locked_until = max((tally.locked_until for _, tally in tallies), default=now)
            if locked_until > now:
                return locked_until - now
            for limit, tally in tallies:
                self._tallies[limit.key] = count(tally, limit, now)
            self._sweep(now)
            return 0.0

    async def add_factor(self, factor: TotpFactor) -> None:
        with self._lock:
            self._check_open()
            self._factors[factor.id] = factor

    async def confirm_factor(self, step: TotpStep) -> bool:
        with self._lock:
            self._check_open()
            factor = self._factors.get(step.factor)
            if factor is None or step.step <= factor.last_step:
                return False
            self._factors[factor.id] = replace(factor, confirmed=True, last_step=step.step)
            return True

    async def factors(self, subject: Subject | None) -> tuple[TotpFactor, ...]:
        with self._lock:
            self._check_open()
            found = (factor for factor in self._factors.values() if subject in (None, factor.subject))
            return tuple(sorted(found, key=lambda factor: (factor.created_at, factor.id)))

    async def remove_factor(self, factor: str) -> bool:
        with self._lock:
            self._check_open()
            return self._factors.pop(factor, None) is not None

    async def reset_factors(self, subject: Subject, limits: Sequence[Limit]) -> int:
        with self._lock:
            self._check_open()
            gone = [factor.id for factor in self._factors.values() if factor.subject == subject]
            for id_ in gone:
                del self._factors[id_]
            for id_ in [grant.id for grant in self._grants.values() if grant.subject == subject]:
                del self._grants[id_]
            for limit in limits:
                self._tallies.pop(limit.key, None)
            return len(gone)

    async def put_revocation(self, revocation: Revocation, *, now: float) -> Revoked:
        with self._lock:
            self._check_open()
            kept = self._revocations.put(revocation, now=now)
            gone = [
                grant
                for grant in self._grants.values()
                if kept.voids_grants and grant.subject == kept.subject and kept.session in (None, grant.session)
            ]
            for grant in gone:
                del self._grants[grant.id]
            self._sweep(now)
            return Revoked(
                revocation=kept, grants=sum(1 for grant in gone if grant.expires_at > now and grant.uses != 0)
            )

    async def withdraw_revocation(self, key: RevocationKey, *, now: float) -> bool:
        with self._lock:
            self._check_open()
            return self._revocations.withdraw(key, now=now)

    async def revocations(self, subject: Subject | None, *, now: float) -> tuple[Revocation, ...]:
        with self._lock:
            self._check_open()
            return self._revocations.listed(subject, now=now)

    async def revocation_changes(self, since: str | None) -> Changes:
        with self._lock:
            self._check_open()
            return self._revocations.changes(since)

    async def ping(self) -> None:
        with self._lock:
            self._check_open()

    async def close(self) -> None:
        with self._lock:
            self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StateUnavailable("store: memory: it is closed")

    def _repeats(self, grant: str, fingerprint: str, now: float) -> bool:
        used_at = self._uses.get((grant, fingerprint)) if fingerprint else None
        return used_at is not None and now - used_at <= REPEAT_SECONDS

    def _sweep(self, now: float) -> None:
        """Forget what no longer changes any answer, every so often; called by whatever writes."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_SECONDS
        self._grants = {id_: grant for id_, grant in self._grants.items() if grant.expires_at > now}
        self._uses = {key: at for key, at in self._uses.items() if now - at <= REPEAT_SECONDS}
        self._tickets = {id_: end for id_, end in self._tickets.items() if end + CLOCK_SKEW > now}
        self._proofs = {id_: used for id_, used in self._proofs.items() if used.expires_at + CLOCK_SKEW > now}
        self._tallies = {key: tally for key, tally in self._tallies.items() if tally.forgotten_at > now}
        self._revocations.sweep(now - CLOCK_SKEW)
