"""Tickets and offers: signed, for one browser, small enough for an address."""

import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepup.proofs import ALICE, NOW, SESSION, alice, challenge, counted_entropy, demand, ring, view

from extauthz.stepup.challenge import NotChallengeable, offer
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.ticket import MAX_TICKET_LENGTH, InvalidTicket, Ticket, Wait, hash_nonce, open_ticket, sign
from extauthz.values.decisions import Challenge, ChallengeOffer
from extauthz.values.identity import NONCE_COOKIE, Credential, Identity, Subject, User
from extauthz.values.origin import Origin
from extauthz.values.request import Caller, RequestView


def offered(
    decision: Challenge | None = None,
    *,
    request: RequestView | None = None,
    identity: Identity | None = None,
    keys: KeyRing | None = None,
) -> ChallengeOffer:
    return offer(
        decision or challenge(),
        identity=identity or alice(),
        request=request or view(),
        caller=Caller.NAVIGATION,
        keys=keys or ring(),
        now=NOW,
        entropy=counted_entropy(),
    )


def ticket_of(made: ChallengeOffer) -> str:
    parts = urlsplit(made.location)
    assert parts.path == "/.extauthz/challenge"
    assert not parts.netloc
    return parse_qs(parts.query)["ticket"][0]


def nonce_of(made: ChallengeOffer) -> str:
    (cookie,) = made.cookies
    return cookie.removeprefix(f"{NONCE_COOKIE}=").partition(";")[0]


def test_an_offer_says_everything_that_the_page_needs() -> None:
    first, second = demand("p/a", show={"to": "acc-7"}, uses=1), demand("p/b", acr="gold", description="why")
    made = offered(challenge(first, second))
    opened = open_ticket(ticket_of(made), ring())
    assert (opened.subject, opened.session) == (ALICE, SESSION)
    assert opened.demands == (first, second)
    assert opened.return_path == "/pay/a1?amount=5"
    assert (opened.action.method, opened.action.authority, opened.action.path) == ("GET", "app.example.com", "/pay/a1")
    assert opened.expires_at == NOW + 300
    assert opened.fits(nonce_of(made))


def test_the_nonce_cookie_is_host_only_and_out_of_reach_of_scripts() -> None:
    (cookie,) = offered().cookies
    assert cookie.startswith("__Host-")
    assert cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")


def test_a_ticket_opens_only_with_its_own_nonce() -> None:
    opened = open_ticket(ticket_of(offered()), ring())
    for nonce in (None, "", "a" * 43, nonce_of(offered())[:-1]):
        assert not opened.fits(nonce)


def test_the_ticket_does_not_tell_the_nonce() -> None:
    made = offered()
    assert nonce_of(made) not in made.location
    assert hash_nonce(nonce_of(made)) == open_ticket(ticket_of(made), ring()).nonce_hash


def test_two_tabs_share_one_nonce() -> None:
    first = offered()
    cookie = f"a=b; {NONCE_COOKIE}={nonce_of(first)}"
    second = offered(request=view(headers={"cookie": (cookie,)}))
    assert second.cookies == ()
    assert open_ticket(ticket_of(second), ring()).fits(nonce_of(first))


@pytest.mark.parametrize("value", ["", "short", "a" * 42, "a" * 44, "a" * 42 + "=", "a" * 42 + '"'])
def test_a_nonce_that_we_did_not_make_is_replaced(value: str) -> None:
    made = offered(request=view(headers={"cookie": (f"{NONCE_COOKIE}={value}",)}))
    assert nonce_of(made) != value


def test_two_nonces_are_none() -> None:
    nonce = nonce_of(offered())
    for fields in ((f"{NONCE_COOKIE}={nonce}; {NONCE_COOKIE}={nonce}",), (f"{NONCE_COOKIE}={nonce}",) * 2):
        assert offered(request=view(headers={"cookie": fields})).cookies


def test_every_offer_is_another_ticket() -> None:
    entropy = counted_entropy()
    made = {
        ticket_of(
            offer(
                challenge(),
                identity=alice(),
                request=view(),
                caller=Caller.NAVIGATION,
                keys=ring(),
                now=NOW,
                entropy=entropy,
            )
        )
        for _ in range(3)
    }
    assert len({open_ticket(text, ring()).id for text in made}) == 3


def test_rotation_keeps_tickets() -> None:
    text = ticket_of(offered(keys=ring("old")))
    assert open_ticket(text, ring("old", "new")).subject == ALICE
    with pytest.raises(InvalidTicket):
        open_ticket(text, ring("new"))


@given(st.data())
def test_no_changed_ticket_opens(data: st.DataObject) -> None:
    text = ticket_of(offered())
    index = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.sampled_from("abcXYZ019-_.=+/ \n\u00e9").filter(lambda one: one != text[index]))
    with pytest.raises(InvalidTicket):
        open_ticket(text[:index] + character + text[index + 1 :], ring())


@pytest.mark.parametrize("change", [lambda t: t + "A", lambda t: t[:-1], lambda t: t + "\n", lambda _: "", str.upper])
def test_no_longer_or_shorter_ticket_opens(change: object) -> None:
    assert callable(change)
    with pytest.raises(InvalidTicket):
        open_ticket(change(ticket_of(offered())), ring())


def test_a_huge_request_makes_no_huge_ticket() -> None:
    shown = {f"name {number}" + "n" * 500: "\U0001f600" * 5000 for number in range(40)}
    demands = [
        demand(f"payments/rule-{number}", show=shown, description="d" * 5000, binding=f"scope:{'h' * 43}:payments/r")
        for number in range(12)
    ]
    request = view(path="/" + "p" * 60_000, raw_path="/" + "p" * 60_000)
    text = ticket_of(offered(challenge(*demands), request=request))
    assert len(text) < MAX_TICKET_LENGTH
    opened = open_ticket(text, ring())
    assert [one.binding for one in opened.demands] == [one.binding for one in demands]
    assert opened.demands[0].description.endswith("…")
    assert opened.return_path == "/"


def test_a_subject_that_is_no_unicode_comes_back_as_itself() -> None:
    odd = alice(user=User(sub="alic\ud800", iss=ALICE.issuer))
    made = offered(challenge(demand(show={"x": "\udcff"})), identity=odd)
    opened = open_ticket(ticket_of(made), ring())
    assert opened.subject == Subject(ALICE.issuer, "alic\ud800")
    assert opened.demands[0].show == {"x": "\udcff"}


@pytest.mark.parametrize(
    ("identity", "request_"),
    [(alice(user=None), view()), (alice(session=None), view()), (alice(), RequestView())],
)
def test_nobody_is_not_challenged(identity: Identity, request_: RequestView) -> None:
    with pytest.raises(NotChallengeable):
        offered(identity=identity, request=request_)


def test_a_ticket_survives_signing() -> None:
    opened = open_ticket(ticket_of(offered()), ring())
    token = Credential(
        subjects=(ALICE, Subject(ALICE.issuer, "agent")), issued_at=NOW, sid="1", jti="j", digest="sha256:d"
    )
    changed: Ticket = replace(
        opened,
        expires_at=NOW + 0.125,
        return_path="/x",
        closes=True,
        credentials=(token, Credential(subjects=(ALICE,))),
        wait=Wait(approvals=("a1", "a2"), person="Alice", groups=("on-duty",), reason="the plant is on fire"),
        origin=Origin(decision_id="d-1", span="00-1-2-01"),
        approver="anna",
    )
    assert open_ticket(sign(changed, ring()), ring()) == changed


def test_a_ticket_of_an_older_form_is_none_of_ours() -> None:
    """It is signed with our key, and yet what is in it means something else."""
    key = ring().newest
    for form, payload in (
        ("t1", {"i": "x", "d": [["p/a", ["totp"], 300.0]]}),
        ("t2", {}),
        ("t3", {}),
        ("t4", {}),
        ("t5", {}),
        ("t6", {}),
        ("t8", {}),
    ):
        body = urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode("ascii")
        signed = f"{form}.{key.kid}.{body}"
        mac = urlsafe_b64encode(hmac.digest(key.ticket, signed.encode(), "sha256")).rstrip(b"=").decode("ascii")
        with pytest.raises(InvalidTicket):
            open_ticket(f"{signed}.{mac}", ring())


def test_a_ticket_says_what_it_rests_on() -> None:
    token = Credential(subjects=(ALICE,), issued_at=NOW - 60, sid="1")
    made = offered(identity=alice(credentials=(token,)))
    assert open_ticket(ticket_of(made), ring()).credentials == (token,)
