"""The pure half of step-up at a provider: what is asked, and every part of the answer made wrong."""

from base64 import urlsafe_b64encode
from dataclasses import replace
from hashlib import sha256
from typing import Any, get_args
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepup.proofs import ALICE, NOW, SESSION, demand, ring

from extauthz.stepup.oidc import (
    CALLBACK_PATH,
    Authenticated,
    FlowSecrets,
    OidcFailure,
    OidcRefused,
    Provider,
    Return,
    check_id_token,
    depart,
    read_return,
    redirect_uri,
)
from extauthz.stepup.ticket import MAX_TICKET_LENGTH, Action, InvalidTicket, Ticket, open_ticket, sign
from extauthz.values.decisions import ChallengeDemand
from extauthz.values.identity import Subject

IDP = Provider(
    issuer=ALICE.issuer,
    authorization_endpoint=f"{ALICE.issuer}/authorize",
    client_id="extauthz",
    subject_claims={ALICE.issuer: "sub"},
    acr={"gold": ("urn:gold", "urn:platinum")},
)
NONCE = "n" * 43


def asked(rule: str = "payments/large", **changed: Any) -> ChallengeDemand:
    return demand(rule, **{"factors": ("oidc",), **changed})


def ticket(*demands: ChallengeDemand, **changed: Any) -> Ticket:
    values: dict[str, Any] = {
        "id": "t" * 43,
        "subject": ALICE,
        "session": SESSION,
        "nonce_hash": "h" * 43,
        "action": Action(method="GET", authority="app.example.com", path="/pay/a1"),
        "return_path": "/pay/a1?amount=5",
        "expires_at": NOW + 240,
        "credentials": (),
        "demands": demands or (asked(),),
        **changed,
    }
    return Ticket(**values)


def parameters(*demands: ChallengeDemand, provider: Provider = IDP, login_hint: str | None = None) -> dict[str, str]:
    parts = urlsplit(depart(ticket(*demands), provider=provider, keys=ring(), login_hint=login_hint).location)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == IDP.authorization_endpoint
    found = dict(parse_qsl(parts.query, strict_parsing=True))
    assert len(found) == len(parse_qs(parts.query, strict_parsing=True))
    return found


def refusal(work: Any) -> OidcFailure:
    with pytest.raises(OidcRefused) as refused:
        work()
    assert refused.value.reason in get_args(OidcFailure)
    return refused.value.reason


def test_the_request_asks_for_what_the_rule_asks_for() -> None:
    found = parameters(asked(acr="gold", max_age=120.0), login_hint="alice@example.com")
    assert found["response_type"] == "code"
    assert found["client_id"] == "extauthz"
    assert found["redirect_uri"] == "https://app.example.com/.extauthz/oidc"
    assert found["scope"] == "openid"
    assert found["max_age"] == "120"
    assert found["acr_values"] == "urn:gold urn:platinum"
    assert found["login_hint"] == "alice@example.com"
    assert found["code_challenge_method"] == "S256"
    secrets = FlowSecrets.of(found["state"], ring())
    assert found["nonce"] == secrets.nonce
    hashed = urlsafe_b64encode(sha256(secrets.code_verifier.encode()).digest()).rstrip(b"=").decode()
    assert found["code_challenge"] == hashed
    assert secrets.code_verifier not in str(found)
    assert 43 <= len(secrets.code_verifier) <= 128  # RFC 7636 section 4.1


def test_what_is_not_asked_is_not_in_the_request() -> None:
    assert not {"acr_values", "login_hint", "prompt"} & set(parameters())
    assert "login_hint" not in parameters(login_hint="half a letter \ud800")


def test_a_class_without_a_word_of_the_provider_is_asked_for_as_it_is() -> None:
    assert parameters(asked(acr="silver"), asked("p/b", acr="gold"))["acr_values"] == "silver urn:gold urn:platinum"


def test_several_rules_ask_for_the_freshest() -> None:
    assert parameters(asked(max_age=300.0), asked("p/b", max_age=60.0))["max_age"] == "60"
    assert parameters(asked(max_age=300.0), asked("p/b", uses=1))["max_age"] == "0"
    assert parameters(asked(max_age=300.0), demand("p/b", max_age=60.0))["max_age"] == "300", "that one takes a code"


def test_after_a_login_that_was_not_enough_a_new_one_is_asked_for() -> None:
    departure = depart(replace(ticket(), insists=True), provider=IDP, keys=ring(), login_hint=None)
    assert parse_qs(urlsplit(departure.location).query)["prompt"] == ["login"]
    assert open_ticket(departure.state, ring()).insists


def test_an_endpoint_with_a_query_keeps_it() -> None:
    provider = replace(IDP, authorization_endpoint=f"{IDP.authorization_endpoint}?realm=a")
    assert parameters(provider=provider)["realm"] == "a"


def test_the_state_is_the_ticket_without_what_a_page_shows() -> None:
    shown = asked(show={"to": "acc-7"}, description="A transfer")
    departure = depart(ticket(shown, demand("p/b")), provider=IDP, keys=ring(), login_hint=None)
    opened = open_ticket(departure.state, ring())
    assert opened == replace(ticket(shown), demands=(asked(),))
    assert parse_qs(urlsplit(departure.location).query)["state"] == [departure.state]


def test_any_server_of_the_ring_goes_on_with_the_flow_and_nobody_else() -> None:
    state = depart(ticket(), provider=IDP, keys=ring("old"), login_hint=None).state
    begun = FlowSecrets.of(state, ring("old"))
    assert FlowSecrets.of(state, ring("old", "new")) == begun
    assert begun.code_verifier not in repr(begun)
    with pytest.raises(InvalidTicket):
        FlowSecrets.of(state, ring("new"))
    for text in ("", "t1", "x" * (MAX_TICKET_LENGTH + 1)):
        with pytest.raises(InvalidTicket):
            FlowSecrets.of(text, ring())


@given(st.text(max_size=20), st.text(max_size=20))
def test_each_ticket_has_secrets_of_its_own(one: str, other: str) -> None:
    first, second = (FlowSecrets.of(sign(ticket(id=id_), ring()), ring()) for id_ in (one, other))
    assert (first == second) == (one == other)
    assert len({first.nonce, first.code_verifier}) == 2


GOOD = [("code", "c0de"), ("state", "st4te"), ("iss", IDP.issuer)]


def test_a_return_has_a_code_and_a_state() -> None:
    assert read_return([*GOOD, ("session_state", "x"), ("session_state", "y")], provider=IDP) == Return(
        code="c0de", state="st4te"
    )
    assert read_return(GOOD[:2], provider=IDP).code == "c0de"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([], "malformed"),
        (GOOD[:1], "malformed"),
        (GOOD[1:], "malformed"),
        ([*GOOD, ("code", "other")], "malformed"),
        ([*GOOD, ("state", "st4te")], "malformed"),
        ([("code", ""), *GOOD[1:]], "malformed"),
        ([("code", "c" * 5000), *GOOD[1:]], "malformed"),
        ([("code", "c\u00f6de"), *GOOD[1:]], "malformed"),
        ([("code", "c\nde"), *GOOD[1:]], "malformed"),
        ([*GOOD[:2], ("iss", "https://evil.example.com")], "wrong-issuer"),
        ([*GOOD[:2], ("iss", f"{IDP.issuer}/")], "wrong-issuer"),
        ([*GOOD[:2], ("iss", "")], "wrong-issuer"),
        ([("error", "access_denied"), ("state", "st4te")], "refused"),
        ([("error", "login_required"), *GOOD], "refused"),
        ([("error", "access_denied"), ("iss", "https://evil.example.com")], "wrong-issuer"),
    ],
)
def test_any_other_return_is_refused(found: list[tuple[str, str]], reason: OidcFailure) -> None:
    assert refusal(lambda: read_return(found, provider=IDP)) == reason


def test_a_provider_that_says_who_it_is_must_say_it() -> None:
    telling = replace(IDP, sends_issuer=True)
    assert read_return(GOOD, provider=telling).state == "st4te"
    assert refusal(lambda: read_return(GOOD[:2], provider=telling)) == "wrong-issuer"


def claims(**changed: Any) -> dict[str, Any]:
    values = {
        "iss": IDP.issuer,
        "aud": "extauthz",
        "sub": ALICE.id,
        "exp": NOW + 300,
        "iat": NOW,
        "nonce": NONCE,
        "auth_time": int(NOW) - 10,
        "acr": "urn:gold",
        "amr": ["pwd", "otp"],
        **changed,
    }
    return {name: value for name, value in values.items() if value is not ...}


def checked(
    *demands: ChallengeDemand, provider: Provider = IDP, subject: Subject = ALICE, **changed: Any
) -> Authenticated:
    return check_id_token(
        claims(**changed), ticket=ticket(*demands, subject=subject), nonce=NONCE, provider=provider, now=NOW
    )


def test_a_good_id_token_meets_what_was_asked() -> None:
    gold = asked(acr="gold")
    assert checked(gold) == Authenticated(demands=(gold,), auth_time=NOW - 10)
    assert checked(gold, acr="urn:platinum").demands == (gold,)
    assert checked(aud=["other", "extauthz"], azp="extauthz").demands
    assert checked(aud=["extauthz"], azp="extauthz").demands
    assert checked(acr=..., amr=...).demands, "nothing of that was asked"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "https://evil.example.com"}, "wrong-issuer"),
        ({"iss": ...}, "wrong-issuer"),
        ({"iss": [IDP.issuer]}, "wrong-issuer"),
        ({"aud": "shop"}, "wrong-audience"),
        ({"aud": ...}, "wrong-audience"),
        ({"aud": []}, "wrong-audience"),
        ({"aud": {"extauthz": 1}}, "wrong-audience"),
        ({"aud": ["extauthz", "shop"]}, "wrong-audience"),
        ({"aud": ["extauthz", "shop"], "azp": "shop"}, "wrong-audience"),
        ({"azp": "shop"}, "wrong-audience"),
        ({"azp": None}, "wrong-audience"),
        ({"nonce": "m" * 43}, "wrong-nonce"),
        ({"nonce": ...}, "wrong-nonce"),
        ({"nonce": 1}, "wrong-nonce"),
        ({"nonce": "\u00e9"}, "wrong-nonce"),
        ({"sub": "mallory"}, "wrong-subject"),
        ({"sub": ...}, "wrong-subject"),
        ({"sub": "Alice"}, "wrong-subject"),
        ({"exp": NOW}, "expired"),
        ({"exp": ...}, "malformed"),
        ({"exp": "never"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": float("nan")}, "malformed"),
        ({"iat": NOW + 31}, "not-fresh"),
        ({"iat": NOW - 91}, "not-fresh"),
        ({"iat": ...}, "malformed"),
        ({"auth_time": ...}, "malformed"),
        ({"auth_time": str(NOW)}, "malformed"),
        ({"auth_time": NOW + 31}, "malformed"),
        ({"auth_time": NOW - 300}, "not-fresh"),
        ({"acr": "gold"}, "wrong-acr"),
        ({"acr": "urn:silver"}, "wrong-acr"),
        ({"acr": ...}, "wrong-acr"),
        ({"acr": ["urn:gold"]}, "wrong-acr"),
        ({"amr": "otp"}, "malformed"),
        ({"amr": ["pwd"]}, "wrong-amr"),
        ({"amr": ...}, "wrong-amr"),
    ],
)
def test_an_id_token_that_says_anything_else_proves_nothing(changed: dict[str, Any], reason: OidcFailure) -> None:
    strict = replace(IDP, amr=frozenset({"otp", "hwk"}))
    assert checked(asked(acr="gold"), provider=strict).demands
    assert refusal(lambda: checked(asked(acr="gold"), provider=strict, **changed)) == reason


def test_the_same_sub_at_another_issuer_is_somebody_else() -> None:
    other = Subject("https://other.example.com", ALICE.id)
    assert refusal(lambda: checked(subject=other)) == "wrong-subject"


def test_users_of_another_issuer_are_known_by_the_claim_that_was_configured() -> None:
    other = Subject("https://other.example.com", "u-17")
    mapped = replace(IDP, subject_claims={**IDP.subject_claims, other.issuer: "employee"})
    assert checked(subject=other, provider=mapped, employee="u-17").demands
    assert refusal(lambda: checked(subject=other, provider=mapped, employee="u-18")) == "wrong-subject"
    assert refusal(lambda: checked(subject=other, provider=mapped, sub="u-17")) == "wrong-subject"
    assert refusal(lambda: checked(subject=other, provider=mapped, employee=17)) == "wrong-subject"


def test_a_proof_for_one_request_is_given_after_it_was_asked_for() -> None:
    once = asked(uses=1)  # the ticket was opened a minute ago
    assert checked(once, auth_time=NOW - 60).demands == (once,)
    assert checked(once, auth_time=NOW - 90).demands == (once,), "its clock may be half a minute behind"
    assert refusal(lambda: checked(once, auth_time=NOW - 91)) == "not-fresh"
    assert checked(auth_time=NOW - 91).demands == (asked(),), "where the rule takes what is five minutes old"


def test_only_the_demands_that_are_met_are_proven() -> None:
    gold, silver, once, plain = (
        asked("p/a", acr="gold"),
        asked("p/b", acr="silver"),
        asked("p/c", uses=1),
        asked("p/d"),
    )
    coded = demand("p/e")
    assert checked(gold, silver, once, plain, coded, auth_time=NOW - 100).demands == (gold, plain)
    assert checked(gold, silver, once, plain, coded).demands == (gold, once, plain)


@given(st.floats(-40, 400), st.sampled_from((None, 1)))
def test_a_proof_is_never_older_than_the_rule_takes(age: float, uses: int | None) -> None:
    try:
        proven = checked(asked(uses=uses), auth_time=NOW - age)
    except OidcRefused:
        assert age >= 300 or age < -30 or (uses is not None and age > 90)
    else:
        assert 0 <= NOW - proven.auth_time < 300
        assert proven.auth_time <= NOW


def test_the_callback_is_one_of_our_own_pages() -> None:
    assert CALLBACK_PATH.startswith("/.extauthz/")
    assert redirect_uri(ticket()) == "https://app.example.com/.extauthz/oidc"
