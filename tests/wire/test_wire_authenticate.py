"""`WWW-Authenticate`: a 401 names the schemes that are taken, and what was wrong in the one that was used."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from wire.answers import BOTH, BY_FORM, CHALLENGE, DENY, HOLD, OFFER, answer, asked

from extauthz.errors import OAuthError
from extauthz.values.decisions import Decision, denial
from extauthz.values.request import RequestView
from extauthz.values.schemes import NO_SCHEMES, Scheme, Schemes
from extauthz.wire.authenticate import sent_scheme
from extauthz.wire.compose import tcp_check_request
from extauthz.wire.decode import decode

PAGE = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
BEARER = Schemes(bearer=True)
DPOP = Schemes(proof_algorithms=("ES256", "PS256"))
NOBODY = denial("no-rule-allows", status=401)


def sent(credential: str | None) -> RequestView:
    return asked({} if credential is None else {"authorization": credential})


def said(
    schemes: Schemes, error: OAuthError | None = None, *, credential: str | None = None, decision: Decision = NOBODY
) -> str | None:
    """The header of this answer, `None` without one."""
    if error is not None:
        decision = replace(denial("invalid-token"), oauth_error=error)
    return answer(decision, request=sent(credential), schemes=schemes).denied.get("www-authenticate")


ALGS = 'algs="ES256 PS256"'
TABLE: list[tuple[Schemes, OAuthError | None, str | None, str | None]] = [
    # RFC 6750 section 3.1 and RFC 9449 section 7.2, figure 17: without a token nothing was wrong with one.
    (BEARER, None, None, "Bearer"),
    (DPOP, None, None, f"DPoP {ALGS}"),
    (BOTH, None, None, f"Bearer, DPoP {ALGS}"),
    (BOTH, None, "Basic eA==", f"Bearer, DPoP {ALGS}"),
    # Figure 18: the error stands in the scheme that was used.
    (BEARER, "invalid_token", "Bearer x", 'Bearer error="invalid_token"'),
    (BOTH, "invalid_token", "bearer x", f'Bearer error="invalid_token", DPoP {ALGS}'),
    (BOTH, "invalid_token", "DPoP x", f'Bearer, DPoP error="invalid_token", {ALGS}'),
    (BOTH, "invalid_dpop_proof", "dpop x", f'Bearer, DPoP error="invalid_dpop_proof", {ALGS}'),
    (DPOP, "invalid_dpop_proof", "DPoP x", f'DPoP error="invalid_dpop_proof", {ALGS}'),
    # One that is not taken is not named, even if it was used.
    (DPOP, "invalid_token", "Bearer x", f'DPoP error="invalid_token", {ALGS}'),
    (BEARER, "invalid_token", "DPoP x", 'Bearer error="invalid_token"'),
    # Envoy's `jwt_authn` takes the header away once it has read it.
    (BEARER, "invalid_token", None, 'Bearer error="invalid_token"'),
    # Certificates and cookies have no scheme.
    (NO_SCHEMES, None, None, None),
]


@pytest.mark.parametrize(("schemes", "error", "credential", "expected"), TABLE)
def test_a_401_names_the_schemes_that_are_taken(
    schemes: Schemes, error: OAuthError | None, credential: str | None, expected: str | None
) -> None:
    assert said(schemes, error, credential=credential) == expected


@pytest.mark.parametrize("expected", [row[3] for row in TABLE if row[0] == BOTH])
def test_the_page_on_answers_says_the_same(expected: str) -> None:
    shown = expected.replace(ALGS, 'algs="ES256 …"')
    assert f"| `{shown}` |" in PAGE


@pytest.mark.parametrize("form", BY_FORM)
def test_every_form_of_a_401_says_how_to_authenticate(form: str) -> None:
    headers = answer(NOBODY, request=BY_FORM[form]).denied
    assert headers["www-authenticate"] == f"Bearer, DPoP {ALGS}"


def test_an_invalid_certificate_or_cookie_is_no_error_of_a_token() -> None:
    assert said(BOTH, decision=denial("invalid-token"), credential="Bearer good") == f"Bearer, DPoP {ALGS}"


@pytest.mark.parametrize("decision", [DENY, HOLD, denial("malformed-path"), denial("internal-error")])
def test_nothing_but_a_401_asks_to_authenticate(decision: Decision) -> None:
    assert said(BOTH, decision=decision) is None


def test_a_rules_own_header_takes_its_place() -> None:
    own = replace(NOBODY, headers={"WWW-Authenticate": 'Basic realm="x"'})
    assert said(BOTH, decision=own) == 'Basic realm="x"'


INSUFFICIENT = (
    'error="insufficient_user_authentication", error_description="This needs fresh proof of who you are.", '
    'acr_values="gold q\\"uoted", max_age="60"'
)


@pytest.mark.parametrize(
    ("schemes", "credential", "expected"),
    [
        (BOTH, "Bearer x", f"Bearer {INSUFFICIENT}"),
        (BOTH, "DPoP x", f"DPoP {INSUFFICIENT}, {ALGS}"),
        (DPOP, "DPoP x", f"DPoP {INSUFFICIENT}, {ALGS}"),
        (BEARER, "DPoP x", f"Bearer {INSUFFICIENT}"),
        (BOTH, None, f"Bearer {INSUFFICIENT}"),
        (NO_SCHEMES, None, f"Bearer {INSUFFICIENT}"),
    ],
)
def test_a_challenge_is_one_of_rfc_9470_in_the_scheme_that_was_used(
    schemes: Schemes, credential: str | None, expected: str
) -> None:
    headers = answer(CHALLENGE, request=sent(credential), schemes=schemes, offer=OFFER).denied
    assert headers["www-authenticate"] == expected


@pytest.mark.parametrize(
    ("credential", "scheme"),
    [
        ("Bearer x", "Bearer"),
        ("BEARER  x", "Bearer"),
        ("Bearer", "Bearer"),
        ("Bearer\tx", "Bearer"),
        ("dpop x", "DPoP"),
        ("DPoP", "DPoP"),
        ("Bearerx y", None),
        ("Basic bearer x", None),
        ("", None),
    ],
)
def test_the_scheme_of_the_token_that_was_sent(credential: str, scheme: Scheme | None) -> None:
    assert sent_scheme(sent(credential)) == scheme


def test_what_has_no_header_has_no_scheme() -> None:
    assert sent_scheme(None) is None
    assert sent_scheme(decode(tcp_check_request())) is None
    assert sent_scheme(sent(None)) is None


@given(
    st.builds(Schemes, bearer=st.booleans(), proof_algorithms=st.sampled_from([(), ("ES256",)])),
    st.sampled_from(["invalid_token", "invalid_dpop_proof", None]),
    st.sampled_from(["Bearer x", "DPoP x", "Basic x", None]),
)
def test_what_is_named_is_taken_and_an_error_is_told_at_most_once(
    schemes: Schemes, error: OAuthError | None, credential: str | None
) -> None:
    header = said(schemes, error, credential=credential) or ""
    assert ("Bearer" in header) == schemes.bearer
    assert ("DPoP" in header) == bool(schemes.proof_algorithms)
    assert header.count("error=") == (1 if header and error is not None else 0)
