"""A story over three requests of one person: challenged, held for an approval, gone through."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
from e2e.owners import NAVIGATION, Owner
from e2e_approvals.conftest import World

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: story}
spec:
  rules:
    - {name: users, when: has(user.sub), effect: allow}
    - name: fresh
      paths: ["/pay"]
      effect: challenge
      challenge: {factors: [totp], max_age: 5m}
    - name: four-eyes
      paths: ["/pay"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, bind: request}
    - name: patient
      paths: ["/held/pay"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, bind: request, hold: 12s}
"""
PAGE, HEADER = "page", "header"
EVENTS: Mapping[str, list[tuple[str, set[int]]]] = {
    PAGE: [
        ("authz.challenge.opened", {1}),
        ("authz.challenge.shown", {1}),
        ("authz.factor.proven", {1}),
        ("authz.challenge.met", {1}),
        ("authz.grant.given", {1}),
        ("authz.approval.opened", {2}),
        ("authz.approval.voted", {2}),
        ("authz.approval.approved", {2}),
        ("authz.grant.given", {2}),
        ("authz.grant.used", {2, 3}),
    ],
    HEADER: [
        ("authz.challenge.opened", {1}),
        ("authz.factor.proven", {2}),
        ("authz.challenge.met", {2}),
        ("authz.grant.given", {2}),
        ("authz.approval.opened", {2}),
        ("authz.approval.voted", {2}),
        ("authz.approval.approved", {2}),
        ("authz.grant.given", {2}),
        ("authz.grant.used", {2, 3}),
    ],
}
"""What leaves a span of its own, by the way of the proof, and which of the three requests it is linked to."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """The ids of the three decisions, and of the approval."""

    decisions: tuple[str, str, str]
    approval: str


def live(world: World, sub: str, way: str) -> Story:
    """Let `sub` be challenged, prove a factor in this way, wait for the approval, and go through."""
    owner = Owner(world.stage, sub)
    owner.enroll()
    challenged = pays(owner)
    assert challenged.status_code == 401
    if way == PAGE:
        meet(owner, challenged)
        held = pays(owner)
    else:
        held = pays(owner, x_extauthz_otp=owner.code())
    assert (held.status_code, held.json()["reason"]) == (403, "approval-required")
    (approval,) = held.json()["approvals"]
    assert world.answer(approval).status_code == 200
    passed = pays(owner)
    assert passed.status_code == 200
    first, second, third = map(decision_of, (challenged, held, passed))
    return Story(decisions=(first, second, third), approval=approval)


def meet(owner: Owner, challenged: httpx.Response) -> None:
    """Go to the challenge page that an answer names, and prove a factor there."""
    page = challenged.json()["challenge_uri"]
    assert owner.client.get(page, headers=NAVIGATION).status_code == 200
    assert owner.answers(parse_qs(urlsplit(page).query)["ticket"][0], owner.code()).status_code == 303


def pays(owner: Owner, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return owner.client.post("/pay", json={"to": "acc-7"}, headers=sent)


def decision_of(response: httpx.Response) -> str:
    return str(response.headers["x-extauthz-decision-id"])
