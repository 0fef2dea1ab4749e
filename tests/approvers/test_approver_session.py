"""The sealed texts of approvers: a session, a login on its way, a link; none opens when changed, or as another one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepup.proofs import NOW, counted_entropy, ring

from extauthz.errors import ExtauthzError
from extauthz.stepup.approver_login import Begun, depart_for_login, make_link, open_link, open_login
from extauthz.stepup.approver_session import ApproverSession, SessionNotKept, read_session, session_value
from extauthz.stepup.enrolment import invite, open_invitation
from extauthz.stepup.keys import SEAL_NONCE_BYTES
from extauthz.stepup.oidc import Provider
from extauthz.values.approvals import Approver
from extauthz.values.identity import APPROVER_COOKIE, Credential, Subject

ANNA = Subject("https://people.example.com", "a1")
PROVIDER = Provider(
    issuer=ANNA.issuer,
    authorization_endpoint="https://people.example.com/authorize?tenant=t1",
    client_id="extauthz",
    subject_claims={ANNA.issuer: "sub"},
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def session(**changes: object) -> ApproverSession:
    fields: dict[str, object] = {
        "id": "s1",
        "approver": Approver(subject=ANNA, person="anna", groups=frozenset({"treasury"}), claims={"level": 3}),
        "tokens": (Credential(subjects=(ANNA,), issued_at=NOW, sid="idp-1"),),
        "started_at": NOW,
        "expires_at": NOW + 3600,
        **changes,
    }
    return ApproverSession(**fields)  # type: ignore[arg-type]  # the types are those of the fields that a test names


def value(of: ApproverSession) -> str:
    return session_value(of, ring(), b"n" * SEAL_NONCE_BYTES)


@given(NAMES, st.frozensets(NAMES, max_size=20))
def test_a_session_comes_back_as_it_was(person: str, groups: frozenset[str]) -> None:
    made = session(approver=Approver(subject=ANNA, person=person, groups=groups))
    assert read_session([f"a=b; {APPROVER_COOKIE}={value(made)}"], ring(), now=NOW) == made


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_a_session_that_was_changed_says_nothing_else(place: int, letter: str) -> None:
    text = value(session())
    place %= len(text)
    changed = text[:place] + letter + text[place + 1 :]
    found = read_session([f"{APPROVER_COOKIE}={changed}"], ring(), now=NOW)
    # Some letters of base64 can be spelled in two ways: what they say is the same.
    assert found in (None, session())


def test_a_session_is_good_until_it_ends_and_under_its_keys() -> None:
    cookie = f"{APPROVER_COOKIE}={value(session())}"
    assert read_session([cookie], ring(), now=NOW + 3599) is not None
    assert read_session([cookie], ring(), now=NOW + 3600) is None
    assert read_session([cookie], ring("other"), now=NOW) is None
    assert read_session([cookie], ring("first", "newer"), now=NOW) is not None
    assert read_session([cookie, cookie], ring(), now=NOW) is None
    for place in range(20, len(value(session())) - 1, 7):
        other = "A" if cookie[-place] != "A" else "B"
        assert read_session([cookie[:-place] + other + cookie[len(cookie) - place + 1 :]], ring(), now=NOW) is None


def test_a_name_that_is_no_text_makes_no_session() -> None:
    for subject in (Subject(ANNA.issuer, "a\ud800"), Subject("https://\udfff", "a")):
        with pytest.raises(SessionNotKept, match="no text"):
            value(session(approver=Approver(subject=subject, person="anna")))


def test_no_sealed_text_passes_for_another_one() -> None:
    entropy, keys = counted_entropy(), ring()
    link = make_link(
        ANNA, person="anna", groups=("treasury",), issued_at=NOW, expires_at=NOW + 60, keys=keys, entropy=entropy
    )
    begun = Begun(nonce_hash="n" * 43, then="/", expires_at=NOW + 60)
    state = depart_for_login(
        begun, provider=PROVIDER, redirect_uri="https://approvals.example.com/x", keys=keys, entropy=entropy
    ).state
    invitation = invite(ANNA, grounds="administrator", issued_at=NOW, expires_at=NOW + 60, keys=keys, entropy=entropy)
    texts = {"link": link, "state": state, "invitation": invitation, "session": value(session())}
    readers = {"link": open_link, "state": open_login, "invitation": open_invitation}
    for name, text in texts.items():
        for wanted, read in readers.items():
            try:
                read(text, keys)
            except ExtauthzError:
                assert name != wanted
            else:
                assert name == wanted
        found = read_session([f"{APPROVER_COOKIE}={text.rstrip('=')}"], keys, now=NOW)
        assert (found is not None) == (name == "session")


def test_each_login_has_secrets_of_its_own() -> None:
    entropy, keys = counted_entropy(), ring()
    begun = Begun(nonce_hash="n" * 43, then="/", expires_at=NOW + 60)
    states = [
        depart_for_login(begun, provider=PROVIDER, redirect_uri="https://x.example/", keys=keys, entropy=entropy)
        for _ in range(2)
    ]
    assert states[0].location.startswith("https://people.example.com/authorize?tenant=t1&response_type=code")
    opened = [open_login(one.state, keys) for one in states]
    assert opened[0][0] == opened[1][0] == begun
    assert opened[0][1].nonce != opened[1][1].nonce
    assert opened[0][1].code_verifier != opened[1][1].code_verifier
    assert opened[0][1].code_verifier not in states[0].location
