"""A configuration that can't tell people apart, or their tokens, is refused: they could approve what they ask for
themselves."""

from pathlib import Path

import pytest

from extauthz.policy.problems import PolicyErrors
from extauthz.settings import Settings, load_settings

USERS = """\
policies: [p]
identity:
  users:
    - {name: a, issuer: "https://a.example", from: ["metadata:jwt/payload"]}
    - {name: b, issuer: "https://b.example", from: ["metadata:jwt/other"]}
"""


def loaded(tmp_path: Path, approvals: str) -> Settings:
    file = tmp_path / "extauthz.yaml"
    tokens = 'tokens: {issuer: "https://a.example", audiences: [votes], jwks: keys.json, algorithms: [ES256]}'
    file.write_text(f"{USERS}approvals: {{{tokens}{approvals}}}\n")
    return load_settings(file)


def test_people_of_two_issuers_need_a_claim_that_both_know_them_by(tmp_path: Path) -> None:
    with pytest.raises(
        PolicyErrors, match=r"users of `https://b\.example` and approvers of `https://a\.example` may be"
    ):
        loaded(tmp_path, "")


@pytest.mark.parametrize("persons", ["{claim: email}", "{claim: sub}", '{machines: [{issuer: "https://b.example"}]}'])
def test_a_claim_of_both_or_an_issuer_of_machines_is_enough(tmp_path: Path, persons: str) -> None:
    assert loaded(tmp_path, f", persons: {persons}").approvals.tokens is not None


def test_some_machines_of_an_issuer_make_the_others_no_machines(tmp_path: Path) -> None:
    with pytest.raises(PolicyErrors, match="may be the same people"):
        loaded(tmp_path, ', persons: {machines: [{issuer: "https://b.example", subs: ["agent-*"]}]}')


@pytest.mark.parametrize(
    ("users", "is_refused"),
    [
        ('{name: a, issuer: "https://a.example", audiences: [shop, votes], jwks: keys.json}', "approvals.tokens"),
        ('{name: a, issuer: "https://a.example", audiences: [desk], jwks: keys.json}', "approvals.login"),
        ('{name: a, issuer: "https://a.example", audiences: [shop], jwks: keys.json}', None),
        ('{name: a, issuer: "https://b.example", audiences: [votes, desk], jwks: keys.json}', None),
    ],
)
def test_no_token_of_users_is_one_of_approvers(tmp_path: Path, users: str, is_refused: str | None) -> None:
    file = tmp_path / "extauthz.yaml"
    file.write_text(
        f"""policies: [p]
identity: {{users: [{users}]}}
approvals:
  url: https://approvals.example
  persons: {{claim: email}}
  login: {{issuer: "https://a.example", client_id: desk}}
  tokens: {{issuer: "https://a.example", audiences: [votes], jwks: keys.json}}
"""
    )
    if is_refused is None:
        assert load_settings(file).declared.issuers is not None
        return
    with pytest.raises(PolicyErrors, match=f"is an audience of users .`a`. and of `{is_refused}`, so that a token of"):
        load_settings(file)
