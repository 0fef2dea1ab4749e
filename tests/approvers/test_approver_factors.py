"""The fresh factor that a rule asks of approvers, on their own origin."""

from urllib.parse import unquote

from approval.asking import ANNA, RULE, terms
from approvers.visiting import TREASURY, URL, Visitor, World, heading, words
from stepup.authenticator import UP, UV, SoftwareAuthenticator
from stepup.proofs import counted_entropy
from web.conftest import SAME_ORIGIN, run

from extauthz.stepup.authenticators import USER_HANDLE_BYTES, challenge_of
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.ticket import open_ticket
from extauthz.stepup.totp import code_at, step_at
from extauthz.stepup.webauthn import verify_registration
from extauthz.store.factor_secret import seal_factor
from extauthz.store.protocol import EnrolledFactor, Enrolment
from extauthz.web.approvers import notices

SECRET = b"12345678901234567890"
PARTY = RelyingParty(id="example.com", origins=("https://app.example.com", URL))


def with_a_factor(world: World) -> None:
    """The rule asks for a code, and Anna has an app."""
    world.ruled[RULE] = terms(min=1, factors=frozenset({"otp"}), max_age=300.0)
    factor = seal_factor(
        SECRET, subject=ANNA.subject, confirmed=True, keys=world.keys, now=world.now, entropy=counted_entropy("f")
    )
    run(world.store.enroll(Enrolment(subject=ANNA.subject, factors=(factor,)), now=world.now))


def test_a_fresh_factor_comes_before_the_answer(world: World) -> None:
    with_a_factor(world)
    world.opened()
    world.opened("a2")
    anna = world.logged_in("anna", TREASURY)
    page = anna.get("/approvals/a1")
    assert "Confirm that it is you" in words(page)
    assert 'value="approve"' not in page.text
    assert anna.post("/approvals/a1/vote", stance="approve").status_code == 403
    leaves = anna.post("/approvals/a1/confirm")
    asked = anna.request("GET", leaves.headers["location"])
    assert "Above 100,000 two of the treasury answer" in words(asked)
    ticket = leaves.headers["location"].partition("ticket=")[2]
    form = {"ticket": ticket, "factor": "totp", "code": code_at(SECRET, step_at(world.now))}
    back = anna.request("POST", "/.extauthz/challenge", form=form, headers=SAME_ORIGIN)
    assert (back.status_code, back.headers["location"]) == (303, "/approvals/a1")
    assert 'value="approve"' in anna.get("/approvals/a1").text
    # It is good for the one that it was given for.
    assert 'value="approve"' not in anna.get("/approvals/a2").text
    assert anna.answers("approve").status_code == 303
    proof = world.kept().votes[0].proof
    assert proof is not None
    assert (proof.factor, proof.at) == ("otp", world.now)
    assert world.kept().state == "approved"


def test_records_name_the_approver_who_proves_a_factor(world: World) -> None:
    with_a_factor(world)
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    anna.get("/approvals/a1")
    leaves = anna.post("/approvals/a1/confirm").headers["location"]
    anna.request("GET", leaves)
    form = {"ticket": leaves.partition("ticket=")[2], "factor": "totp"}
    for code in ("314159", code_at(SECRET, step_at(world.now))):
        anna.request("POST", "/.extauthz/challenge", form={**form, "code": code}, headers=SAME_ORIGIN)
    anna.answers("approve")
    told = {life.kind: life.by for life in world.records.lives}
    assert {*told} == {
        "challenge.opened",
        "challenge.shown",
        "challenge.failed",
        "factor.proven",
        "challenge.met",
        "grant.given",
        "device.known",
        "approval.voted",
        "approval.approved",
    }
    assert {*told.values()} == {"approver:anna"}


def test_a_factor_goes_stale_and_serves_no_other_browser(world: World) -> None:
    with_a_factor(world)
    world.opened()
    anna, elsewhere = world.logged_in("anna", TREASURY), world.logged_in("anna", TREASURY)
    anna.get("/approvals/a1")
    ticket = anna.post("/approvals/a1/confirm").headers["location"].partition("ticket=")[2]
    form = {"ticket": ticket, "factor": "totp", "code": code_at(SECRET, step_at(world.now))}
    assert anna.request("POST", "/.extauthz/challenge", form=form, headers=SAME_ORIGIN).status_code == 303
    assert elsewhere.answers("approve").status_code == 403
    world.now += 300
    assert anna.answers("approve").status_code == 403
    assert world.kept().votes == ()


def with_a_key(world: World, device: SoftwareAuthenticator, *factors: str) -> None:
    """The rule asks for a key in one of these ways, and Anna has set one up at the application."""
    world.ruled[RULE] = terms(min=1, factors=frozenset(factors), max_age=300.0)
    challenge, handle = b"r" * 32, b"h" * USER_HANDLE_BYTES
    registered = verify_registration(
        device.register(challenge),
        relying_party=PARTY,
        challenge=challenge,
        user_handle=handle,
        registered=[],
        user_verification="preferred",
    )
    key = EnrolledFactor(
        id="key",
        subject=ANNA.subject,
        kind="webauthn",
        created_at=world.now,
        confirmed=True,
        public=registered.authenticator.to_text(),
        mark=registered.mark,
    )
    run(world.store.enroll(Enrolment(subject=ANNA.subject, factors=(key,)), now=world.now))
    world.relying_party = PARTY
    world.opened()


def touches(world: World, anna: Visitor, device: SoftwareAuthenticator, *, origin: str, flags: int = UP | UV) -> int:
    """Anna uses her key on the way to an answer, as at this origin; what that is answered with."""
    anna.get("/approvals/a1")
    leaves = anna.post("/approvals/a1/confirm")
    text = unquote(leaves.headers["location"].partition("ticket=")[2])
    answer = device.sign_in(challenge_of(open_ticket(text, world.keys).id, "webauthn.get"), origin=origin, flags=flags)
    form = {"ticket": text, "factor": "webauthn", "answer": answer}
    return anna.request("POST", "/.extauthz/challenge", form=form, headers=SAME_ORIGIN).status_code


def test_a_key_serves_on_the_origin_of_the_pages_and_not_for_another(world: World) -> None:
    device = SoftwareAuthenticator()
    with_a_key(world, device, "hwk")
    anna = world.logged_in("anna", TREASURY)
    assert touches(world, anna, device, origin="https://app.example.com") == 422
    assert anna.answers("approve").status_code == 403
    assert touches(world, anna, device, origin=URL) == 303
    assert anna.answers("approve").status_code == 303
    proof = world.kept().votes[0].proof
    assert proof is not None
    assert proof.factor == "hwk"


def test_a_touch_is_enough_only_where_the_rule_says_so(world: World) -> None:
    device = SoftwareAuthenticator()
    with_a_key(world, device, "hwk")
    anna = world.logged_in("anna", TREASURY)
    assert touches(world, anna, device, origin=URL, flags=UP) == 422
    world.ruled[RULE] = terms(min=1, factors=frozenset({"hwk", "user"}), max_age=300.0)
    assert touches(world, anna, device, origin=URL, flags=UP) == 303
    assert anna.answers("deny").status_code == 303
    proof = world.kept().votes[0].proof
    assert proof is not None
    assert proof.factor == "user"


def test_what_no_page_takes_is_said_before_anybody_tries(world: World) -> None:
    world.ruled[RULE] = terms(min=1, factors=frozenset({"swk"}), max_age=300.0)
    world.opened()
    anna = world.logged_in("anna", TREASURY)
    assert "second factor that can't be used on this page" in words(anna.get("/approvals/a1"))
    assert heading(anna.post("/approvals/a1/confirm")) == notices.NO_FACTOR.title
