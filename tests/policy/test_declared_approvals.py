"""What an `approve` asks for that the configuration does not have: it could never be, so it is refused when loaded."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from policy.making import NOW, Document, approval, caller, compiled, document, evaluate, http, rule

from extauthz.policy.declared import NOTHING_DECLARED, Declared, Issuers
from extauthz.policy.problems import PolicyErrors
from extauthz.policy.rules import ApproveTerms
from extauthz.values.approvals import Approver, BreakGlass, Proof
from extauthz.values.decisions import Allow, ApprovalDemand, Hold
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity, User

OWN, PARTNER, PEOPLE = "https://own.example", "https://partner.example", "https://people.example"
BOTH = Issuers(of_users=frozenset({OWN, PARTNER}), of_approvers=OWN)
UNCLEAR = Issuers(of_users=frozenset({OWN, PARTNER}), of_approvers=PEOPLE)


def asking(**block: object) -> Document:
    return document(
        "p", rule("all", "allow"), rule("a", "approve", approve={"approvers": {"groups": ["chiefs"]}, **block})
    )


def glass(**changes: object) -> Document:
    return asking(break_glass={"groups": ["on-duty"], "factors": ["totp"], **changes})


def of(issuer: str) -> Identity:
    """Somebody whose own issuer says that they are on duty."""
    known = caller(sub="u1", groups=["on-duty"])
    assert isinstance(known.user, User)
    return msgspec.structs.replace(known, user=replace(known.user, iss=issuer))


def demanded(policy: Document, issuer: str, issuers: Issuers | None) -> ApprovalDemand:
    decision = evaluate(compiled(policy, declared=Declared(issuers=issuers)), http(), of(issuer)).decision
    assert isinstance(decision, Hold), decision
    return decision.demands[0]


MEANT: list[tuple[str, dict[str, Any], Issuers | None, str, str | None]] = [
    ("the approvers' issuer", {}, BOTH, OWN, PARTNER),
    ("the one that is named", {"issuer": PARTNER}, BOTH, PARTNER, OWN),
    ("the named one beside strange approvers", {"issuer": OWN}, UNCLEAR, OWN, PARTNER),
    ("the only one", {}, Issuers(of_users=frozenset({OWN}), of_approvers=PEOPLE), OWN, PARTNER),
    ("the named one without a configuration", {"issuer": OWN}, None, OWN, PARTNER),
    ("any without a configuration", {}, None, PARTNER, None),
]


@pytest.mark.parametrize(
    ("block", "issuers", "insider", "outsider"), [one[1:] for one in MEANT], ids=[m[0] for m in MEANT]
)
def test_only_members_of_the_issuer_that_is_meant_break_the_glass(
    block: dict[str, Any], issuers: Issuers | None, insider: str, outsider: str | None
) -> None:
    assert demanded(glass(**block), insider, issuers).break_glass is not None
    if outsider is not None:
        assert demanded(glass(**block), outsider, issuers).break_glass is None


def test_a_glass_that_an_outsider_has_broken_is_not_broken() -> None:
    policies = compiled(glass(), declared=Declared(issuers=BOTH))
    for issuer, is_let_through in ((OWN, True), (PARTNER, False)):
        identity = of(issuer)
        assert identity.subject is not None
        by = Approver(subject=identity.subject, person="u1", groups=frozenset({"on-duty"}))
        broken = BreakGlass(by=by, reason="fire", proof=Proof(factor="otp", at=NOW - 15), at=NOW - 10)
        given = approval("action:p/a", break_glass=broken, subject=identity.subject)
        decision = evaluate(policies, http(), identity, facts=Facts(grants=(given,))).decision
        assert isinstance(decision, Allow) is is_let_through


def told(policy: Document, declared: Declared) -> list[str]:
    with pytest.raises(PolicyErrors) as caught:
        compiled(policy, declared=declared)
    return [f"{one.message}; {one.hint}" for one in caught.value.problems]


def test_groups_of_several_issuers_break_no_glass() -> None:
    hint = "name the one whose groups are meant: `issuer: URL`"
    assert told(glass(), Declared(issuers=UNCLEAR)) == [
        f"groups of each of 2 issuers would break the glass: `{OWN}`, `{PARTNER}`; {hint}"
    ]
    assert told(glass(), Declared(issuers=replace(UNCLEAR, of_approvers=None)))


def test_an_issuer_without_users_breaks_no_glass() -> None:
    assert told(glass(issuer="https://owm.example"), Declared(issuers=BOTH)) == [
        f"no users are of the issuer `https://owm.example`; did you mean `{OWN}`?"
    ]
    assert told(glass(issuer=PEOPLE), Declared(issuers=Issuers())) == [
        f"no users are of the issuer `{PEOPLE}`; add it to `identity.users`, or name one that is there"
    ]


def test_a_misspelt_issuer_is_told_alone() -> None:
    assert told(glass(isuer=OWN), Declared(issuers=UNCLEAR)) == ["unknown field `isuer`; did you mean `issuer`?"]


def test_a_glass_can_be_broken_by_some_factor() -> None:
    hint = "configure `stepup.webauthn`, or name `recovery`, `totp` too"
    declared = Declared(factors=frozenset({"totp", "recovery"}))
    assert told(glass(factors=["webauthn", "oidc"]), declared) == [
        f"nobody can break the glass: `webauthn`, `oidc` can't be proven as it is configured; {hint}"
    ]
    assert compiled(glass(factors=["webauthn", "totp"]), declared=declared).rules
    assert compiled(glass(factors=["webauthn"]), declared=NOTHING_DECLARED).rules


UNKEPT = [
    "approver.claims.limit > 1000",
    "has(approver.claims.limit)",
    "'limit' in approver.claims",
    "approver.claims[?'limit'].orValue(0) > 1000",
    "approver.?claims.?limit.orValue(0) > 1000",
    "approver.groups.exists(g, g == approver.claims.limit)",
]


@pytest.mark.parametrize("when", UNKEPT)
def test_a_claim_that_no_vote_keeps_can_not_be_read(when: str) -> None:
    policy = asking(approvers={"when": when})
    hint = "add `limit` to `approvals.claims` of the configuration"
    for kept in (frozenset[str](), frozenset({"department"})):
        assert told(policy, Declared(approver_claims=kept)) == [f"the claim `limit` of approvers is not kept; {hint}"]
    assert compiled(policy, declared=Declared(approver_claims=frozenset({"limit"}))).rules
    assert compiled(policy).rules


def test_claims_without_a_name_need_some_claim() -> None:
    policy = asking(approvers={"when": "approver.claims[approval.method] == true"})
    assert told(policy, Declared(approver_claims=frozenset())) == [
        "no claim of approvers is kept; list those that conditions read in `approvals.claims` of the configuration"
    ]
    assert compiled(policy, declared=Declared(approver_claims=frozenset({"limit"}))).rules


def test_a_claim_of_users_is_not_one_of_approvers() -> None:
    policy = asking(show={"limit": "user.claims.limit"}, approvers={"when": "approval.show.limit == '1'"})
    assert compiled(policy, declared=Declared(approver_claims=frozenset())).rules


def test_what_is_shown_may_be_weighed() -> None:
    when = "has(approval.show.to) && approval.show['amount'] != '1' && approval.show.size() == 2"
    policies = compiled(asking(show={"amount": "'1'", "to": "user.sub"}, approvers={"when": when}))
    assert isinstance(policies.rules[0].terms, ApproveTerms)
