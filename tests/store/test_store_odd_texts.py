"""Texts that are no Unicode (lone surrogates) in what people and issuers write: every store and letter takes them."""

import msgspec
from stepup.proofs import NOW
from store.one_loop import run

from extauthz.approval.telling.addressing import Addressees, read_notice
from extauthz.approval.terms import BreakGlassTerms, Circle, Terms
from extauthz.check.approvals import Approvals, BrokenGlass, Granted, Pending
from extauthz.store.protocol import Store
from extauthz.values.approvals import Approval, Approver, Picture, Proof, Requesters
from extauthz.values.decisions import ApprovalDemand, BreakGlassOffer, ChallengeDemand
from extauthz.values.identity import Subject

ODD = "odd \ud800 \udfff"
UMA = Approver(subject=Subject("https://app.example.com", ODD), person=ODD, claims={ODD: [ODD]}, name=ODD)
ANNA = Approver(subject=Subject("https://people.example.com", "anna"), person="anna", groups=frozenset({"treasury"}))
PROOF = Proof(factor="hwk", at=NOW)
FRESH = ChallengeDemand(rule="p/r", factors=("webauthn",), max_age=60.0, binding="break-glass:p/r", uses=1)
KINDS = frozenset({"opened", "voted", "denied", "cancelled", "approved", "broken-glass"})


def approvals_on(store: Store) -> Approvals:
    ids = iter(range(1, 100))
    terms = Terms(
        circle=Circle(groups=frozenset({"treasury"})),
        deny_min=2,
        valid_for=300.0,
        break_glass=BreakGlassTerms(groups=frozenset(), factors=frozenset(), max_age=60.0, valid_for=300.0),
    )
    return Approvals(
        store=store,
        terms_of=lambda rule, now: terms,  # noqa: ARG005 - the same for all
        clock=lambda: NOW,
        entropy=lambda size: next(ids).to_bytes(size, "big"),
        keep=3600.0,
        most_open=50,
        schedules={},
        addressees=Addressees(webhooks={"hook": KINDS}),  # type: ignore[dict-item]  # all of them are kinds
    )


def demand(binding: str) -> ApprovalDemand:
    return ApprovalDemand(
        rule="p/r",
        binding=binding,
        min=1,
        expires_in=900.0,
        hold=0.0,
        bind="action",
        subject=UMA.subject,
        session="s1",
        requesters=Requesters(caller=UMA.person, persons=(UMA.person,), subjects=(UMA.subject,)),
        show={ODD: ODD},
    )


def test_what_is_no_unicode_is_kept_and_told(store: Store) -> None:
    approvals = approvals_on(store)
    picture = Picture(user=ODD, claims={"odd": [ODD, {ODD: ODD}]}, show={ODD: ODD}, path=ODD, query={ODD: (ODD,)})
    glass = BrokenGlass(offer=BreakGlassOffer(by=UMA, demand=FRESH, valid_for=300.0), reason=f"fire {ODD}", proof=PROOF)
    asked = run(approvals.ask(demand("a"), holder="cookie:c", picture=picture, since=None))
    broken = run(approvals.ask(demand("b"), holder="cookie:c", picture=picture, since=None, glass=glass))
    assert isinstance(asked, Pending)
    assert isinstance(broken, Granted)
    voted = run(approvals.vote(asked.approval.id, ANNA, stance="deny", reason=f"no {ODD}", proof=None, channel="api"))
    assert isinstance(voted, Approval)
    assert voted.votes[0].reason == "no odd ? ?"
    ended = run(approvals.cancel(asked.approval.id, by=UMA.subject, reason=ODD))
    assert isinstance(ended, Approval)
    kept = run(store.approval(asked.approval.id))
    assert kept == ended
    assert kept.subject == UMA.subject, "nobody becomes somebody else"
    told = [read_notice(claim.letter.content) for claim in run(store.claim_letters("hook", most=9, lease=30, now=NOW))]
    assert sorted(one.kind for one in told) == ["broken-glass", "cancelled", "opened", "opened", "voted"]
    for one in told:
        assert msgspec.json.encode(one), "webhooks write it"
        assert one.approval.picture.show == {"odd ? ?": "odd ? ?"}
