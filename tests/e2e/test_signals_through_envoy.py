"""A transmitter pushes through a real Envoy, to the pages' address and to one exact path of the admin address."""

import copy
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from e2e import bootstrap
from e2e.stage import Script, Stage, stage
from lookup.deciding import key_set
from signals.transmitting import KEY, RISC, SECRET, TOKEN, claims, event, iss_sub, signed, written

from extauthz.cli.quickstart.tokens import ISSUER

POLICIES = """\
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: users, effect: allow, when: has(user.sub)}
    - name: at-risk
      when: has(reported.risk_level) && reported.risk_level == "HIGH"
      effect: deny
      deny: {reason: at-risk}
"""
PAGE = (Path(__file__).parents[2] / "docs" / "signals.md").read_text()
PUSH = "/.extauthz/signals/idp"
GENEROUS = 20.0


def route_of_page(begins: str) -> bootstrap.Tree:
    """The route that docs/signals.md shows."""
    (block,) = (
        one for one in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if one.startswith(f"- match: {begins}")
    )
    route: bootstrap.Tree = yaml.safe_load(block)[0]
    return route


def route_to_admin(tree: bootstrap.Tree) -> None:
    clusters = tree["static_resources"]["clusters"]
    web = next(one for one in clusters if one["name"] == "extauthz_web")
    admin = copy.deepcopy(web) | {"name": "extauthz_admin"}
    admin["load_assignment"]["cluster_name"] = "extauthz_admin"
    clusters.append(admin)
    pipe = admin["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["pipe"]
    pipe["path"] = pipe["path"].replace("web.sock", "probes.sock")
    bootstrap.routes(tree).insert(0, route_of_page("{path: "))


@contextmanager
def pushed_to(folder: Path, listener: str, edit: Callable[[bootstrap.Tree], None] = lambda _: None) -> Iterator[Stage]:
    for name, text in (("ssf.json", key_set(KEY)), ("secret", SECRET), ("token", TOKEN)):
        (folder / name).write_text(text)
    transmitter = written(
        jwks=str(folder / "ssf.json"), secret={"file": str(folder / "secret")}, about={"issuers": [ISSUER]}
    )
    configuration = {
        "signals": {"listener": listener, "transmitters": [transmitter]},
        "admin": {"token": {"file": str(folder / "token")}},
    }
    with stage(Script(policies=POLICIES, configuration=configuration, edit=edit)) as running:
        yield running


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pushed_to(tmp_path_factory.mktemp("outside"), "web") as running:
        yield running


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pushed_to(tmp_path_factory.mktemp("inside"), "admin", route_to_admin) as running:
        yield running


def push(client: httpx.Client, text: str, *, secret: str = SECRET) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/secevent+jwt"}
    return client.post(PUSH, content=text, headers=headers)


def reaches(on: Stage, sub: str) -> int:
    return on.client().get("/", headers=on.bearer(sub)).status_code


@pytest.mark.parametrize("kind", ["outside", "inside"])
def test_what_is_pushed_is_in_force_on_the_next_request(kind: str, request: pytest.FixtureRequest) -> None:
    on: Stage = request.getfixturevalue(kind)
    transmitter, alice, bob = on.client(), f"alice-{kind}", f"bob-{kind}"
    assert (reaches(on, alice), reaches(on, bob)) == (200, 200)
    risk = event("risk-level-change", current_level="HIGH", principal="USER")
    assert push(transmitter, signed(claims(risk, iss_sub(alice, ISSUER)))).status_code == 202
    assert (reaches(on, alice), reaches(on, bob)) == (403, 200)
    disabled = signed(claims({RISC + "account-disabled": {}}, iss_sub(bob, ISSUER)))
    assert push(transmitter, disabled, secret="not-the-secret-of-it").json()["err"] == "authentication_failed"
    assert reaches(on, bob) == 200
    assert push(transmitter, disabled).status_code == 202
    assert reaches(on, bob) == 403
    enabled = claims({RISC + "account-enabled": {"event_timestamp": time.time() + 1}}, iss_sub(bob, ISSUER))
    assert push(transmitter, signed(enabled)).status_code == 202
    deadline = time.monotonic() + GENEROUS
    while reaches(on, bob) != 200 and time.monotonic() < deadline:  # until a token is of a later second than the block
        time.sleep(0.2)
    assert reaches(on, bob) == 200
    assert push(transmitter, disabled).status_code == 202
    assert reaches(on, bob) == 200, "it was taken before"


def test_a_user_does_not_push(outside: Stage) -> None:
    client = outside.client()
    answer = client.post(PUSH, content=signed(claims()), headers=outside.bearer("mallory"))
    assert (answer.status_code, answer.json()["err"]) == (400, "authentication_failed")


def test_nothing_else_of_the_admin_address_is_open(inside: Stage) -> None:
    client = inside.client()
    operator = {"authorization": f"Bearer {TOKEN}"}
    for path in ("/v1/subjects", "/metrics", "/ready", "/openapi.json", "/.extauthz/signals/other", PUSH + "/x"):
        assert "subjects" not in client.get(path, headers=operator).text
        assert client.get(path, headers=operator).status_code != 200
    assert client.get(PUSH).status_code != 200


def test_one_route_takes_it_away_from_a_host(tmp_path: Path) -> None:
    def taken_away(tree: bootstrap.Tree) -> None:
        bootstrap.routes(tree).insert(0, route_of_page("{prefix: "))

    with pushed_to(tmp_path, "web", taken_away) as on:
        assert push(on.client(), signed(claims())).status_code == 403
        assert on.client().get("/.extauthz/done").status_code == 200
