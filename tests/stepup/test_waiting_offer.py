"""What who waits for an approval is given: a page of their own browser, which knows what it is about."""

from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace
from stepup.proofs import ALICE, NOW, SESSION, alice, counted_entropy, demand, ring, shop, view

from extauthz.stepup.ticket import Ticket, Wait, open_ticket
from extauthz.stepup.waiting import LATER, NobodyWaits, offer
from extauthz.values.approvals import Approver, Requesters
from extauthz.values.decisions import ApprovalDemand, BreakGlassOffer, Hold, HoldOffer
from extauthz.values.identity import HOLDER_COOKIE, NONCE_COOKIE, Identity
from extauthz.values.request import Caller, RequestView

GLASS = BreakGlassOffer(
    by=Approver(subject=ALICE, person="alice", groups=frozenset({"on-duty", "everybody"})),
    demand=demand("payments/four-eyes", binding="break-glass:payments/four-eyes", uses=1),
    valid_for=300.0,
)


def asks(rule: str = "payments/four-eyes", glass: BreakGlassOffer | None = None) -> ApprovalDemand:
    return ApprovalDemand(
        rule=rule,
        binding=f"action:{rule}",
        min=1,
        expires_in=900.0,
        hold=20.0,
        bind="action",
        subject=ALICE,
        session=SESSION,
        requesters=Requesters(persons=("alice",), subjects=(ALICE,)),
        break_glass=glass,
    )


HOLD = Hold(rule="payments/four-eyes", demands=(asks(),), approvals=("a1",))


def offered(
    decision: Hold = HOLD,
    *,
    identity: Identity | None = None,
    request: RequestView | None = None,
    caller: Caller = Caller.NAVIGATION,
    holder_secret: str | None = None,
) -> HoldOffer:
    return offer(
        decision,
        identity=identity or alice(),
        request=request or view(),
        caller=caller,
        groups=("on-duty",),
        holder_secret=holder_secret,
        keys=ring(),
        now=NOW,
        entropy=counted_entropy(),
    )


def ticket_of(made: HoldOffer) -> Ticket:
    parts = urlsplit(made.location)
    assert (parts.scheme, parts.netloc, parts.path) == ("", "", "/.extauthz/waiting")
    return open_ticket(parse_qs(parts.query)["ticket"][0], ring())


def test_it_is_for_this_subject_session_and_browser_and_for_these_approvals() -> None:
    made = offered()
    opened = ticket_of(made)
    assert (opened.subject, opened.session, opened.purpose) == (ALICE, SESSION, "waiting")
    assert opened.wait == Wait(approvals=("a1",))
    assert (opened.demands, opened.return_path) == ((), "/pay/a1?amount=5")
    assert opened.expires_at == NOW + 900 + LATER
    (cookie,) = made.cookies
    assert opened.fits(cookie.removeprefix(f"{NONCE_COOKIE}=").partition(";")[0])
    assert not opened.fits("n" * 43)


def test_a_browser_keeps_the_nonce_that_it_has() -> None:
    (cookie,) = offered().cookies
    again = offered(request=view(headers={"cookie": (cookie.partition(";")[0],)}))
    assert again.cookies == ()


def test_a_new_holder_is_set_beside_the_nonce() -> None:
    _, holder = offered(holder_secret="s" * 43).cookies
    assert holder.startswith(f"{HOLDER_COOKIE}={'s' * 43}; Path=/; Secure; HttpOnly")


def test_what_can_not_be_repeated_is_not_gone_back_to() -> None:
    posted = view(method="POST", headers={"referer": ("https://app.example.com/form?x=1",)})
    assert ticket_of(offered(request=posted, caller=Caller.FORM_POST)).return_path == "/form?x=1"


def test_it_tells_who_may_break_the_glass_and_by_which_proof() -> None:
    opened = ticket_of(offered(replace(HOLD, demands=(asks(glass=GLASS),))))
    assert opened.demands == (GLASS.demand,)
    assert opened.wait == Wait(approvals=("a1",), person="alice", groups=("on-duty",))


def test_who_may_break_one_glass_of_two_breaks_none() -> None:
    both = replace(HOLD, demands=(asks(glass=GLASS), asks("payments/other")), approvals=("a1", "a2"))
    opened = ticket_of(offered(both))
    assert (opened.demands, opened.wait) == ((), Wait(approvals=("a1", "a2")))


def test_a_workload_waits_without_a_session() -> None:
    workload = shop()
    opened = ticket_of(offered(identity=alice(user=None, workload=workload, session=None), caller=Caller.API))
    assert (opened.subject, opened.session) == (workload.subject, "")


@pytest.mark.parametrize("missing", ["subject", "http"])
def test_nobody_waits_nowhere(missing: str) -> None:
    with pytest.raises(NobodyWaits):
        offered(identity=Identity()) if missing == "subject" else offered(request=RequestView())
