"""Tokens of service accounts against the API server that made them, over HTTPS."""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from lookup.cluster import ISSUER, KEYS, REVIEWER, REVIEWS, Cluster, running_cluster
from lookup.deciding import Asking, asking
from publishing import Page

from extauthz.errors import ConfigurationError
from extauthz.identity.lookups import Reviewed, ReviewToken, Unreachable
from extauthz.identity.service_accounts import API_VERSION, KIND
from extauthz.identity.workload_token_config import KUBERNETES, KubernetesSettings
from extauthz.lookup import token_review
from extauthz.lookup.token_review import TokenReviews
from extauthz.settings import Settings, load_settings

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - name: web
      paths: ["/**"]
      workloads: ["spiffe://prod.example.org/ns/shop/sa/web"]
      when: workload.verified_by == "VERIFIED_BY" && workload.namespace == "shop"
      effect: allow
"""


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def cluster(ca: trustme.CA) -> Iterator[Cluster]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost").configure_cert(context)
    with running_cluster(context) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, ca: trustme.CA, cluster: Cluster) -> Path:
    """What a pod of extauthz has: the cluster's authority, and a token of its own."""
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text(cluster.token(*REVIEWER) + "\n")
    return tmp_path


def block(cluster: Cluster, **fields: object) -> dict[str, Any]:
    reviewed = {"token_review": cluster.url, "ca": "ca.crt", "token": "token", "remember": "60s"}
    named = {"trust_domain": "prod.example.org", "issuer": ISSUER, "audiences": ["extauthz"]}
    return {**named, **(fields or reviewed)}


def settings_of(folder: Path, kubernetes: Mapping[str, object]) -> Settings:
    workload = {"sources": ["kubernetes"], "kubernetes": kubernetes}
    config = {"policies": ["policies/"], "store": "memory:", "identity": {"workload": workload}}
    (folder / "extauthz.yaml").write_text(json.dumps(config))
    return load_settings(folder / "extauthz.yaml")


def run(
    folder: Path, kubernetes: Mapping[str, object], scene: Callable[[Asking], Any], *, verified_by: str = "token_review"
) -> None:
    async def play() -> None:
        policy = POLICY.replace("VERIFIED_BY", verified_by)
        async with asking(settings_of(folder, kubernetes), policy=policy) as server:
            await scene(server)

    asyncio.run(play())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_review, "SILENCE", 0.05)


def test_a_token_that_the_api_server_knows_is_a_workload_and_asked_about_once(cluster: Cluster, folder: Path) -> None:
    async def scene(server: Asking) -> None:
        web = cluster.token("shop", "web", "extauthz")
        assert await server.reason(web) == "allowed"
        assert server.answers_at_once(web)
        assert await server.reason(web) == "allowed"
        assert cluster.reviewed == 1
        assert await server.reason(cluster.token("shop", "admin", "extauthz")) == "no-rule-allows"
        assert await server.reason(cluster.token("shop", "web", "extauthz", "vault")) == "allowed"

    run(folder, block(cluster), scene)


def test_a_token_that_the_api_server_does_not_know_is_refused(cluster: Cluster, folder: Path) -> None:
    async def scene(server: Asking) -> None:
        gone = cluster.token("shop", "web", "extauthz")
        cluster.delete(gone)
        assert await server.reason(gone) == "invalid-token"
        assert server.answers_at_once(gone)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with running_cluster(context) as other:
            assert await server.reason(other.token("shop", "web", "extauthz")) == "invalid-token"
        assert cluster.reviewed == 2
        # What is for somebody else is not even shown to it.
        assert await server.reason(cluster.token("shop", "web")) == "invalid-token"
        assert await server.reason(cluster.token("shop", "web", "extauthz", lifetime=-1)) == "invalid-token"
        assert cluster.reviewed == 2

    run(folder, block(cluster), scene)


def test_an_api_server_that_does_not_look_at_audiences_vouches_for_nobody(cluster: Cluster, folder: Path) -> None:
    cluster.audiences_count = False

    async def scene(server: Asking) -> None:
        assert await server.reason(cluster.token("shop", "web", "extauthz")) == "invalid-token"
        assert cluster.reviewed == 1

    run(folder, block(cluster), scene)


YES = json.dumps(
    {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "status": {
            "authenticated": True,
            "user": {"username": "system:serviceaccount:shop:web"},
            "audiences": ["extauthz"],
        },
    }
)


@pytest.mark.usefixtures("impatient")
def test_an_api_server_that_does_not_answer_is_no_yes(cluster: Cluster, folder: Path) -> None:
    async def scene(server: Asking) -> None:
        for page in (
            Page(status=500),
            Page(status=403),
            Page(status=403, body=YES),
            Page(status=202, body=YES),
            Page(status=201, body="no JSON"),
            Page(status=201, body="{}"),
            Page(status=201, body=b"\xff"),
            Page(status=201, body=" " * 300_000),
            Page(status=302, headers={"location": "/"}),
        ):
            cluster.pages[REVIEWS] = page
            token = cluster.token("shop", "web", "extauthz")
            assert await server.reason(token) == "issuer-unavailable"
            await asyncio.sleep(token_review.SILENCE)
        del cluster.pages[REVIEWS]
        assert await server.reason(token) == "allowed"
        cluster.down()
        assert await server.reason(token) == "allowed"  # that answer still counts
        assert await server.reason(cluster.token("shop", "web", "extauthz")) == "issuer-unavailable"

    run(folder, block(cluster), scene)


@pytest.mark.usefixtures("impatient")
def test_its_own_credential_is_read_again_when_the_kubelet_renews_it(cluster: Cluster, folder: Path) -> None:
    async def scene(server: Asking) -> None:
        web = cluster.token("shop", "web", "extauthz")
        (folder / "token").write_text(cluster.token(*REVIEWER, lifetime=-1))
        assert await server.reason(web) == "issuer-unavailable"
        (folder / "token").write_text(cluster.token("shop", "web"))  # an account without the role
        await asyncio.sleep(token_review.SILENCE)
        assert await server.reason(web) == "issuer-unavailable"
        (folder / "token").unlink()
        await asyncio.sleep(token_review.SILENCE)
        assert await server.reason(web) == "issuer-unavailable"
        assert cluster.reviewed == 0
        (folder / "token").write_text(cluster.token(*REVIEWER))
        await asyncio.sleep(token_review.SILENCE)
        assert await server.reason(web) == "allowed"

    run(folder, block(cluster), scene)


def test_a_stranger_in_the_place_of_the_api_server_is_not_believed(cluster: Cluster, folder: Path) -> None:
    trustme.CA().cert_pem.write_to_path(folder / "ca.crt")

    async def scene(server: Asking) -> None:
        assert await server.reason(cluster.token("shop", "web", "extauthz")) == "issuer-unavailable"
        assert not cluster.asked

    run(folder, block(cluster), scene)


def test_an_api_server_that_has_just_failed_is_not_waited_for(cluster: Cluster, folder: Path) -> None:
    cluster.pages[REVIEWS] = Page(status=500)

    async def scene(server: Asking) -> None:
        for _ in range(3):
            assert await server.reason(cluster.token("shop", "web", "extauthz")) == "issuer-unavailable"
        assert len(cluster.asked) == 1

    run(folder, block(cluster), scene)


def reviews(cluster: Cluster, folder: Path, *, timeout: float = 5) -> TokenReviews:
    return TokenReviews(KubernetesSettings.model_validate(block(cluster)), base=folder, timeout=timeout)


def about(token: str) -> ReviewToken:
    return ReviewToken(source=KUBERNETES, token=token)


def test_all_who_want_to_know_of_one_token_wait_for_one_review(cluster: Cluster, folder: Path) -> None:
    async def play() -> None:
        asked = reviews(cluster, folder)
        lookup = about(cluster.token("shop", "web", "extauthz"))
        waiting = [asyncio.create_task(asked.ask(lookup)) for _ in range(20)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gone, *answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(gone, asyncio.CancelledError), "who goes away ends nobody else's question"
        assert {type(answer) for answer in answers} == {Reviewed}
        assert cluster.reviewed == 1
        await asked.close()

    asyncio.run(play())


def test_more_reviews_than_it_may_have_on_its_way_are_not_made(cluster: Cluster, folder: Path) -> None:
    held = threading.Event()
    cluster.pages[REVIEWS] = Page(status=503, held=held)

    async def play() -> None:
        asked = reviews(cluster, folder)
        waiting = [
            asyncio.create_task(asked.ask(about(f"token-{number}"))) for number in range(token_review.MOST_AT_ONCE)
        ]
        await asyncio.sleep(0)
        one_more = await asked.ask(about("one-more"))
        assert isinstance(one_more, Unreachable)
        assert "too many" in one_more.detail
        held.set()
        assert {type(answer) for answer in await asyncio.gather(*waiting)} == {Unreachable}
        await asked.close()

    asyncio.run(play())


def test_a_slow_api_server_is_not_waited_for(cluster: Cluster, folder: Path) -> None:
    cluster.pages[REVIEWS] = Page(status=201, body="{" * 100, pause=0.1)

    async def play() -> None:
        asked = reviews(cluster, folder, timeout=0.2)
        began = time.monotonic()
        answer = await asked.ask(about("a"))
        assert isinstance(answer, Unreachable)
        assert "no whole answer within 0.2 s" in answer.detail
        assert time.monotonic() - began < 5
        await asked.close()

    asyncio.run(play())


def test_a_file_of_authorities_that_is_none_is_told(cluster: Cluster, folder: Path) -> None:
    (folder / "ca.crt").write_text("none")

    async def play() -> None:
        with pytest.raises(ConfigurationError, match="no certificates of authorities"):
            reviews(cluster, folder)

    asyncio.run(play())


# By the cluster's keys


def test_the_keys_may_come_from_the_api_server_with_the_servers_own_credential(cluster: Cluster, folder: Path) -> None:
    async def scene(server: Asking) -> None:
        assert await server.reason(cluster.token("shop", "web", "extauthz")) == "allowed"
        assert await server.reason(cluster.token("shop", "web")) == "invalid-token"
        assert (cluster.reviewed, cluster.count(KEYS)) == (0, 1)

    by_keys = block(cluster, jwks=f"{cluster.url}{KEYS}", ca="ca.crt", token="token")
    run(folder, by_keys, scene, verified_by="kubernetes")


def test_the_keys_may_be_in_a_file(cluster: Cluster, folder: Path) -> None:
    (folder / "cluster.json").write_text(cluster.keys)

    async def scene(server: Asking) -> None:
        token = cluster.token("shop", "web", "extauthz")
        assert server.answers_at_once(token)
        assert await server.reason(token) == "allowed"
        assert not cluster.asked

    run(folder, block(cluster, jwks="cluster.json"), scene, verified_by="kubernetes")
