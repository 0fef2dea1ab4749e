"""Jobs of CI systems: the forms that their claims have, and the policies that the page on them shows."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from checking import told
from identity.checks import build_request, identified
from identity.issuer import NOW, Issuer

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.errors import InvalidCredential
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.policy.load import load_text
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.memory import MemoryStore
from extauthz.wire.compose import check_request

PAGE = (Path(__file__).parents[2] / "docs" / "identity" / "ci.md").read_text()
CONFIG, POLICY = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
OURS = "https://deploy.example.com"

GITHUB: dict[str, Any] = {
    "iss": "https://token.actions.githubusercontent.com",
    "aud": OURS,
    "sub": "repo:shop/web:environment:production",
    "jti": "b7b5c1de-0000-0000-0000-000000000001",
    "ref": "refs/heads/main",
    "ref_type": "branch",
    "ref_protected": "true",
    "sha": "f" * 40,
    "head_ref": "",
    "base_ref": "",
    "repository": "shop/web",
    "repository_id": "74",
    "repository_owner": "shop",
    "repository_owner_id": "65",
    "repository_visibility": "private",
    "actor": "alice",
    "actor_id": "12",
    "workflow": "deploy",
    "job_workflow_ref": "shop/workflows/.github/workflows/deploy.yml@refs/heads/main",
    "event_name": "push",
    "environment": "production",
    "run_id": "9001",
    "run_number": "10",
    "run_attempt": "2",
    "runner_environment": "github-hosted",
    "nbf": int(NOW) - 300,
    "iat": int(NOW),
    "exp": int(NOW) + 300,
}
GITLAB: dict[str, Any] = {
    "iss": "https://gitlab.example.com",
    "aud": [OURS, "https://vault.example.com"],
    "sub": "project_path:shop/web:ref_type:branch:ref:main",
    "namespace_id": "72",
    "namespace_path": "shop",
    "project_id": "20",
    "project_path": "shop/web",
    "user_id": "1",
    "user_login": "alice",
    "user_email": "alice@example.com",
    "user_identities": [{"provider": "saml", "extern_uid": "a1"}],
    "groups_direct": ["shop/deployers"],
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "main",
    "ref_type": "branch",
    "ref_path": "refs/heads/main",
    "ref_protected": "true",
    "environment": "production",
    "environment_protected": "true",
    "deployment_tier": "production",
    "runner_id": 1,
    "runner_environment": "self-hosted",
    "ci_config_sha": None,
    "nbf": int(NOW) - 5,
    "iat": int(NOW),
    "exp": int(NOW) + 3600,
}
CIRCLECI: dict[str, Any] = {
    "iss": "https://oidc.circleci.com/org/3f1c",
    "aud": "3f1c",
    "sub": "org/3f1c/project/9a7e/user/77d0",
    "oidc.circleci.com/project-id": "9a7e",
    "oidc.circleci.com/context-ids": ["c1", "c2"],
    "oidc.circleci.com/job-id": "j1",
    "oidc.circleci.com/ssh-rerun": False,
    "oidc.circleci.com/vcs-origin": "git.example.com/shop/web",
    "oidc.circleci.com/vcs-ref": "refs/heads/main",
    "iat": int(NOW),
    "exp": int(NOW) + 3600,
}
BUILDKITE: dict[str, Any] = {
    "iss": "https://agent.buildkite.com",
    "aud": OURS,
    "sub": "organization:shop:pipeline:web:ref:refs/heads/main:commit:" + "f" * 40 + ":step:deploy",
    "organization_slug": "shop",
    "pipeline_slug": "web",
    "build_number": 17,
    "build_branch": "main",
    "build_commit": "f" * 40,
    "build_tag": None,
    "step_key": None,
    "job_id": "j1",
    "agent_id": "a1",
    "nbf": int(NOW),
    "iat": int(NOW),
    "exp": int(NOW) + 300,
}
JOBS = {"github": GITHUB, "gitlab": GITLAB, "circleci": CIRCLECI, "buildkite": BUILDKITE}


@pytest.fixture(scope="module")
def resolver(issuer: Issuer) -> Resolver:
    """Reads the tokens of the page's configuration; its issuers all have the test's keys, in files."""
    users = yaml.safe_load(CONFIG)["identity"]["users"]
    for user in users:
        del user["discovery"]
        user["jwks"] = "jwks.json"
    settings = IdentitySettings.model_validate({"users": users})
    return Resolver(settings, ClientSettings(), dict.fromkeys(JOBS, issuer.jwks))


def signed(issuer: Issuer, claims: dict[str, Any], **changes: Any) -> str:
    """A token of a job, changed; a change to `...` leaves a claim out."""
    said = {name: value for name, value in (claims | changes).items() if value is not ...}
    return issuer.sign("rsa", '{"alg":"RS256","kid":"rsa","typ":"JWT","x5t":"abc"}', json.dumps(said))


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_a_user_without_groups_and_with_all_its_claims(issuer: Issuer, resolver: Resolver, name: str) -> None:
    token = signed(issuer, JOBS[name])
    user = identified(resolver, build_request({"authorization": f"Bearer {token}"})).user
    assert user is not None
    assert (user.verified_by, user.sub, user.groups) == (name, JOBS[name]["sub"], ())
    assert dict(user.claims) == JOBS[name], "as they were written: texts stay texts, and what is null is there"
    assert user.actor is None, "`actor` of GitHub is a claim like others, and nobody who acts for the job"


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.example.com"},
        {"aud": []},
        {"aud": ...},
        {"exp": int(NOW)},
        {"exp": ...},
        {"nbf": int(NOW) + 60},
        {"exp": str(int(NOW) + 300)},
        {"sub": ...},
        {"sub": 74},
        {"iss": "https://ci.example.com"},
    ],
    ids=str,
)
def test_a_job_of_something_else_is_refused(
    issuer: Issuer, resolver: Resolver, name: str, changes: dict[str, Any]
) -> None:
    token = signed(issuer, JOBS[name], **changes)
    with pytest.raises(InvalidCredential):
        resolver.identify(build_request({"authorization": f"Bearer {token}"}), now=NOW)


@pytest.fixture(scope="module")
def checker(resolver: Resolver) -> Checker:
    """Decides by the policies of the page."""
    return Checker(
        Ruling(policies=load_text(POLICY, "ci.yaml"), resolver=resolver),
        Surroundings(
            clock=lambda: int(NOW * 1e9),
            monotonic=time.monotonic,
            entropy=os.urandom,
            store=MemoryStore(),
            keys=parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(NOW))),
        ),
    )


def decided(checker: Checker, token: str, path: str) -> str:
    """The reason of the decision; of an allow, the rule."""
    headers = {"authorization": f"Bearer {token}"}
    answer = checker.start(check_request(host="deploy.example.com", method="POST", path=path, headers=headers))
    assert isinstance(answer, bytes)
    said = told(CheckResponse.FromString(answer))
    return said["rule"] if said["decision"] == "allow" else said["reason"]


PRODUCTION, STAGING = "/deployments/production", "/deployments/staging"
PLACES = {"github": PRODUCTION, "gitlab": PRODUCTION, "circleci": STAGING, "buildkite": STAGING}


@pytest.mark.parametrize("name", JOBS)
def test_the_pages_policies_let_a_job_deploy_where_it_may(issuer: Issuer, checker: Checker, name: str) -> None:
    token = signed(issuer, JOBS[name])
    assert decided(checker, token, PLACES[name]) == f"ci/{name}-deploys-to-{PLACES[name].rpartition('/')[2]}"
    for path in {PRODUCTION, STAGING} - {PLACES[name]}:
        assert decided(checker, token, path) == "no-rule-allows"
    assert decided(checker, token, "/admin") == "jobs-only-deploy"


OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("github", {"repository_id": "75"}),
    ("github", {"repository_id": 74}),  # a number is no text
    ("github", {"repository_owner_id": "66"}),
    ("github", {"ref": "refs/heads/feature"}),
    ("github", {"ref": "refs/pull/7/merge", "event_name": "pull_request"}),
    ("github", {"event_name": "pull_request_target"}),
    ("github", {"environment": ...}),
    ("github", {"environment": "staging"}),
    ("github", {"runner_environment": "self-hosted"}),
    ("gitlab", {"project_id": "21"}),
    ("gitlab", {"ref_protected": "false"}),
    ("gitlab", {"ref_protected": True}),
    ("gitlab", {"environment_protected": "false"}),
    ("gitlab", {"environment": ..., "environment_protected": ...}),
    ("circleci", {"oidc.circleci.com/project-id": "other"}),
    ("circleci", {"oidc.circleci.com/vcs-ref": ...}),
    ("circleci", {"oidc.circleci.com/vcs-ref": "refs/heads/main2"}),
    ("buildkite", {"organization_slug": "other"}),
    ("buildkite", {"pipeline_slug": None}),
    ("buildkite", {"build_branch": "feature"}),
]


@pytest.mark.parametrize(("name", "changes"), OTHERS, ids=str)
def test_the_pages_policies_let_no_other_job_deploy(
    issuer: Issuer, checker: Checker, name: str, changes: dict[str, Any]
) -> None:
    assert decided(checker, signed(issuer, JOBS[name], **changes), PLACES[name]) == "no-rule-allows"


def test_the_claims_of_one_system_serve_no_other(issuer: Issuer, checker: Checker) -> None:
    for name, claims in JOBS.items():
        for other, others in JOBS.items():
            if other != name:
                stranger = signed(issuer, claims | {"iss": others["iss"], "aud": others["aud"]})
                assert decided(checker, stranger, PLACES[name]) == "no-rule-allows"
