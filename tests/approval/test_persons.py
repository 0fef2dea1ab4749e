"""Which person a subject is: no spelling makes two of one, and who could be anybody is nobody."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.approval.config import MachinesSettings, PersonsSettings
from extauthz.approval.persons import BY_SUB, Persons, person_named
from extauthz.values.identity import Identity, Subject, User, Workload

ISSUER = "https://idp.example"
BY_MAIL = Persons(PersonsSettings(claim="email"))
ALICE = Subject(ISSUER, "a1")


@pytest.mark.parametrize(
    ("claims", "person"),
    [
        ({"email": "Alice@Example.com"}, "alice@example.com"),
        ({"email": " alice@example.com "}, "alice@example.com"),
        ({"email": "\uff21lice@example.com"}, "alice@example.com"),
        ({"email": "alice@example.com", "email_verified": True}, "alice@example.com"),
        ({"email": "alice@example.com", "email_verified": False}, None),
        ({"email": "alice@example.com", "email_verified": "true"}, None),
        ({"email": ""}, None),
        ({"email": "   "}, None),
        ({"email": ["alice@example.com"]}, None),
        ({"email": True}, None),
        ({}, None),
    ],
)
def test_a_person_is_known_by_the_claim(claims: dict[str, object], person: str | None) -> None:
    assert BY_MAIL.person(ALICE, claims) == person


def test_a_number_names_a_person_too() -> None:
    assert Persons(PersonsSettings(claim="employee")).person(ALICE, {"employee": 4711}) == "4711"


def test_a_claim_called_sub_does_not_stand_for_the_subject() -> None:
    assert BY_SUB.person(ALICE, {"sub": "somebody-else"}) == "a1"


@given(st.text())
def test_a_name_that_is_read_twice_is_the_same_name(text: str) -> None:
    once = person_named(text)
    assert once is None or person_named(once) == once


@given(st.text(min_size=1), st.sampled_from(("NFC", "NFD", "NFKC", "NFKD")))
def test_no_spelling_of_a_name_is_another_person(text: str, form: str) -> None:
    assert person_named(unicodedata.normalize(form, text)) == person_named(text)  # type: ignore[arg-type]  # a literal
    assert person_named(f" {text.upper().lower()} ") == person_named(text.upper().lower())


@pytest.mark.parametrize(
    "unseen", ["\u00ad", "\u200b", "\u200d", "\u2060", "\u202e", "\ufeff", "\ufe0f", "\u115f", "\n"]
)
def test_what_nobody_sees_makes_no_other_person(unseen: str) -> None:
    assert person_named(f"al{unseen}ice{unseen}") == "alice"
    assert person_named(unseen) is None


def test_workloads_and_machines_are_nobody() -> None:
    machines = (MachinesSettings(issuer=ISSUER, subs=("agent-*", "cron")),)
    known = Persons(PersonsSettings(machines=machines))
    for subject in (
        Subject("", "spiffe://prod.example.org/a"),
        Subject(ISSUER, "spiffe://prod.example.org/a"),
        Subject(ISSUER, "agent-7"),
        Subject(ISSUER, "cron"),
    ):
        assert known.person(subject, {"sub": subject.id}) is None
    for subject in (Subject("https://other.example", "agent-7"), Subject(ISSUER, "agent"), Subject(ISSUER, "cronus")):
        assert known.person(subject, {}) == subject.id


def test_everybody_in_the_chain_asks() -> None:
    workload = Workload(id="spiffe://x.example/w", trust_domain="x.example", path="/w", verified_by="source_principal")
    chain = {"sub": "bob", "iss": "https://other.example", "act": {"sub": "carol"}}
    user = User(sub="alice", iss=ISSUER, actor=chain)
    asks = BY_SUB.requesters(Identity(user=user, workload=workload))
    assert asks is not None
    assert (asks.caller, asks.persons) == ("alice", ("alice", "bob", "carol"))
    assert asks.subjects == (
        Subject("", "spiffe://x.example/w"),
        Subject(ISSUER, "alice"),
        Subject("https://other.example", "bob"),
        Subject(ISSUER, "carol"),
    )


def test_a_machine_that_calls_is_no_caller_whom_people_know() -> None:
    known = Persons(PersonsSettings(machines=(MachinesSettings(issuer=ISSUER, subs=("agent-*",)),)))
    asks = known.requesters(Identity(user=User(sub="agent-7", iss=ISSUER, actor={"sub": "bob"})))
    assert asks is not None
    assert (asks.caller, asks.persons) == (None, ("bob",))
