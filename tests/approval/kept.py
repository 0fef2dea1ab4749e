"""Approvals in a store, with the people, the rules and the time around them."""

from collections.abc import Awaitable, Callable, Sequence

from approval.asking import CALLER, NOW, PROOF, ROBOT, RULE, UMA_ASKING, terms
from kept_records import Records
from store.one_loop import run

from extauthz.approval.refusals import Refusal
from extauthz.approval.telling.addressing import Addressees
from extauthz.approval.terms import Circle, Terms
from extauthz.check.approval_absences import Absences
from extauthz.check.approval_viewing import Viewing
from extauthz.check.approvals import Approvals, Asked, BrokenGlass, Pending
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.revocations import Kind, Revocation
from extauthz.record.chronicle import Chronicle
from extauthz.store.approvals import ApprovalQuery
from extauthz.store.memory import MemoryStore
from extauthz.values.approvals import Approval, Approver, Picture, Requesters, Stance
from extauthz.values.decisions import ApprovalDemand, BreakGlassOffer, ChallengeDemand
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

REQUESTERS = Requesters(caller="uma", persons=("uma",), subjects=(CALLER, ROBOT))
PICTURE = Picture(user="u1", method="POST", path="/v1/transfers", show={"amount": "200000"})
BOARD = Circle(groups=frozenset({"board"}))
EVERYTHING = ApprovalQuery()


class Place:
    """A store, the rules in force, and as many servers as a test needs."""

    def __init__(self, store: MemoryStore | None = None, *, hooks: Addressees | None = None) -> None:
        self.store = MemoryStore() if store is None else store
        self.now = NOW
        self.rules: dict[str, Terms] = {RULE: terms(min=1)}
        self._number = 0
        self.records = Records()
        self.feed = RevocationFeed(self.store, max_staleness=60.0, now=lambda: self.now)
        self.approvals = self.server(hooks)
        self.viewing = Viewing(approvals=self.approvals)
        self.absences = Absences(approvals=self.approvals)

    def server(self, hooks: Addressees | None = None) -> Approvals:
        return Approvals(
            store=self.store,
            terms_of=lambda rule, _: self.rules.get(rule),
            clock=lambda: self.now,
            entropy=self._entropy,
            keep=3600.0,
            most_open=3,
            schedules={},
            addressees=Addressees() if hooks is None else hooks,
            revocations=self.feed,
            chronicle=Chronicle(recorder=self.records, clock=lambda: int(self.now * 1e9)),
        )

    def _entropy(self, size: int) -> bytes:
        self._number += 1
        return self._number.to_bytes(size, "big")

    def ask(
        self,
        binding: str = "b",
        *,
        rule: str = RULE,
        glass: str | None = None,
        by: Approver = UMA_ASKING,
        despite: str = "",
        requesters: Requesters = REQUESTERS,
        subject: Subject = CALLER,
    ) -> Asked:
        demand = ApprovalDemand(
            rule=rule,
            binding=binding,
            min=1,
            expires_in=900.0,
            hold=20.0,
            bind="action",
            subject=subject,
            session="s1",
            requesters=requesters,
        )
        return run(
            self.approvals.ask(
                demand,
                holder="cookie:c",
                picture=PICTURE,
                since=NOW - 100,
                glass=None if glass is None else self.glass(glass, by),
                despite=despite,
            )
        )

    def glass(self, reason: str, by: Approver) -> BrokenGlass:
        fresh = ChallengeDemand(rule=RULE, factors=("webauthn",), max_age=60.0, binding="glass", uses=1)
        return BrokenGlass(offer=BreakGlassOffer(by=by, demand=fresh, valid_for=60.0), reason=reason, proof=PROOF)

    def asked(self, binding: str = "b") -> str:
        asked = self.ask(binding)
        assert isinstance(asked, Pending)
        return asked.approval.id

    def vote(self, id_: str, approver: Approver, stance: Stance = "approve") -> Approval | Refusal:
        return run(self.approvals.vote(id_, approver, stance=stance, reason="seen", proof=None, channel="page"))

    def grants(self) -> Sequence[Grant]:
        return run(self.store.look_up(CALLER, "s1", fingerprint="", now=self.now)).grants

    def kept(self, id_: str) -> Approval:
        found = run(self.store.approval(id_))
        assert found is not None
        return found

    def revoke(self, kind: Kind, subject: Subject) -> None:
        revocation = Revocation(kind=kind, subject=subject, at=self.now, until=self.now + 9e6)
        run(self.store.put_revocation(revocation, now=self.now))
        run(self.feed.load())


def word(outcome: Approval | Refusal) -> str | None:
    return outcome.word if isinstance(outcome, Refusal) else None


def away(place: Place, approver: Approver, delegate: str | None, *, lasts: float = 1000.0, note: str = "") -> object:
    return run(place.absences.put(approver, since=place.now, until=place.now + lasts, delegate=delegate, note=note))


class InBetween(MemoryStore):
    """Somebody else acts before who has read an approval goes on: at each of the next `times` reads."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0
        self.act: Callable[[], Awaitable[object]] | None = None

    async def approval(self, id_: str) -> Approval | None:
        found = await super().approval(id_)
        if self.times and self.act is not None:
            self.times -= 1
            act, self.act = self.act, None
            await act()
            self.act = act
        return found
