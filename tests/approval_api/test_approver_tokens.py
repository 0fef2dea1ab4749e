"""What a good token of an approver is, keys that change, and settings that would let somebody vote as two."""

import json
import time
from pathlib import Path

import httpx
import pytest
from approval_api.answering_people import (
    ANNA,
    APP,
    BEN,
    KEY,
    OTHER_KEY,
    PEOPLE,
    STRANGER,
    Desk,
    answering,
    configure,
    token,
)
from lookup.deciding import key_set
from publishing import Page, publishing

from extauthz.policy.problems import PolicyErrors
from extauthz.settings import load_settings


@pytest.mark.parametrize(
    "presented",
    [
        None,
        "nonsense",
        token("anna", "treasury", key=OTHER_KEY),
        token("anna", "treasury", aud="shop"),
        token("anna", "treasury", iss=APP),
        token("anna", "treasury", exp=int(time.time()) - 1),
        token("anna", "treasury", nbf=int(time.time()) + 3600),
        token("anna", "treasury", cnf={"jkt": "x" * 43}),
        token("spiffe://prod.example.org/x", "treasury"),
    ],
    ids=["none", "nonsense", "key", "audience", "issuer", "over", "early", "bound", "workload"],
)
def test_nobody_comes_in_without_a_good_token_of_the_approvers_issuer(desk: Desk, presented: str | None) -> None:
    id_ = desk.opened().id
    for method, path, sent in (
        ("GET", "/v1/approvals", None),
        ("GET", f"/v1/approvals/{id_}", None),
        ("GET", "/v1/approvals/events", None),
        ("POST", f"/v1/approvals/{id_}/approve", b"{}"),
        ("GET", "/v1/absences", None),
    ):
        answer = desk.ask(method, path, token=presented, content=sent, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["reason"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert desk.ask("GET", f"/v1/approvals/{id_}").json()["votes"] == []


def test_a_cookie_or_a_link_answers_nothing(desk: Desk) -> None:
    id_ = desk.opened().id
    for options in (
        {"headers": {"cookie": f"__Host-extauthz-approver={ANNA}"}},
        {"params": {"access_token": ANNA}},
        {"headers": {"authorization": f"Basic {ANNA}"}},
        {"headers": [("authorization", f"Bearer {ANNA}"), ("authorization", f"Bearer {BEN}")]},
    ):
        answer = httpx.post(f"{desk.url}/v1/approvals/{id_}/approve", json={}, **options)
        assert answer.status_code == 401
    assert httpx.get(f"{desk.url}/v1/approvals/{id_}/approve").status_code == 405


def test_new_keys_in_the_file_are_taken_and_bad_ones_change_nothing(desk: Desk) -> None:
    path = desk.folder / "people.json"
    new = token("anna", "treasury", key=OTHER_KEY)
    assert desk.ask("GET", "/v1/approvals", token=new).status_code == 401
    path.write_text("nonsense")
    time.sleep(0.5)
    assert desk.ask("GET", "/v1/approvals").status_code == 200
    path.write_text(key_set(KEY, OTHER_KEY))
    deadline = time.monotonic() + 20
    while desk.ask("GET", "/v1/approvals", token=new).status_code == 401:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert desk.ask("GET", "/v1/approvals").status_code == 200


def test_keys_are_fetched_and_asked_for_again_when_a_token_names_another(tmp_path: Path) -> None:
    with publishing() as site:
        site.pages["/jwks"] = Page(body=key_set(KEY), headers={"content-type": "application/json"})
        with answering(configure(tmp_path, tokens={"jwks": f"{site.url}/jwks"})) as desk:
            assert desk.ask("GET", "/v1/approvals").status_code == 200
            new = token("ben", "treasury", key=OTHER_KEY)
            site.pages["/jwks"] = Page(body=key_set(KEY, OTHER_KEY), headers={"content-type": "application/json"})
            assert desk.ask("GET", "/v1/approvals", token=new).status_code == 200


def test_while_nobody_knows_the_keys_the_answer_says_so(tmp_path: Path) -> None:
    with publishing() as site, answering(configure(tmp_path, tokens={"jwks": f"{site.url}/none"})) as desk:
        answer = desk.ask("GET", "/v1/approvals")
        assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "none" not in answer.json()["detail"]


def test_only_groups_of_the_issuer_count_and_no_token_says_who_is_on_call(tmp_path: Path) -> None:
    with answering(configure(tmp_path)) as desk:
        id_ = desk.opened().id
        for who in (STRANGER, token("dan", "on-call:treasury"), token("dan", roles=["treasury"])):
            assert desk.vote(id_, token=who).json()["reason"] == "not-found"
        voted = desk.vote(id_, token=token("dan", "treasury", "on-call:x", department="d1", secret="s")).json()
        assert [one["person"] for one in voted["votes"]] == ["dan"]
        (vote,) = (desk.run(desk.store.approval(id_)) or desk.opened()).votes
        assert (vote.approver.groups, vote.approver.claims) == (frozenset({"treasury"}), {"department": "d1"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": {"name": "x"}}, "`name` is for sources of users"),
        ({"tokens": {"dpop": "required"}}, "`dpop` is for sources of users"),
        (
            {"tokens": {"proofs": {"amr": {"otp": "totp", "hwk": "webauthn"}}}},
            "`hwk` is `webauthn`, but a token can't say",
        ),
        ({"tokens": {"audiences": []}}, "an empty list means nothing"),
        ({"tokens": {"algorithms": ["HS256"]}}, "proves nothing with public keys"),
        ({"login": {"issuer": "https://other.example", "client_id": "c"}}, "approvers would be of two issuers"),
        ({"login": {"issuer": PEOPLE, "client_id": "approvals"}}, "ID tokens of the login"),
    ],
)
def test_settings_by_which_votes_would_rest_on_what_they_can_not_are_refused(
    tmp_path: Path, changes: dict[str, dict[str, object]], message: str
) -> None:
    path = configure(tmp_path, tokens=changes.get("tokens"))
    config = json.loads(path.read_text())
    config["approvals"] |= {name: one for name, one in changes.items() if name != "tokens"}
    path.write_text(json.dumps(config))
    with pytest.raises(PolicyErrors, match=message):
        load_settings(path)
