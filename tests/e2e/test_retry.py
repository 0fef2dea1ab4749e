"""Requests and Checks that Envoy repeats: a proof for one request serves the repetition, and only it."""

import asyncio
import copy
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from e2e import bootstrap
from e2e.factor_store import FactorStore
from e2e.lossy_line import Line, lossy_line
from e2e.owners import NAVIGATION, Owner, is_challenge
from e2e.stage import Script, Stage, stage

POLICIES = (Path(__file__).parent / "policies" / "retries.yaml").read_text()
CLOSURE = "/closure"
CHECKS = "cluster.extauthz.upstream_rq_total"


@pytest.fixture(scope="module")
def repeating() -> Iterator[tuple[Stage, Line]]:
    """An Envoy that repeats what fails, asks over a line that loses answers, and has a listener that asks twice."""
    with (
        stage(Script(policies=POLICIES, edit=_repeat, configuration={"request": {"buffered": True}})) as running,
        lossy_line(running.folder / "line.sock", running.folder / "grpc.sock") as line,
    ):
        yield running, line


def _repeat(tree: bootstrap.Tree) -> None:
    clusters = tree["static_resources"]["clusters"]
    cluster = next(entry for entry in clusters if entry["name"] == "extauthz")
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    address["pipe"]["path"] = address["pipe"]["path"].replace("grpc.sock", "line.sock")
    del cluster["health_checks"]  # their answers look the same
    bootstrap.routes(tree)[-1]["route"] |= {
        "retry_policy": {"retry_on": "5xx,reset", "num_retries": 2},
        "internal_redirect_policy": {"max_internal_redirects": 2},
    }
    twice = copy.deepcopy(tree["static_resources"]["listeners"][0])
    twice["name"] = "twice"
    settings = twice["filter_chains"][0]["filters"][0]["typed_config"]
    first = copy.deepcopy(settings["http_filters"][0])
    assert first["name"] == bootstrap.EXT_AUTHZ
    settings["http_filters"].insert(0, first)
    tree["static_resources"]["listeners"].append(twice)


def enrolled(on: Stage, sub: str, listener: str = "https") -> Owner:
    """Somebody with an authenticator app."""
    owner = Owner(on, sub, listener=listener)
    owner.enroll()
    return owner


@pytest.mark.parametrize("failure", ["cut", "503"])
def test_a_request_that_the_router_repeats_rests_on_one_use(repeating: tuple[Stage, Line], failure: str) -> None:
    """The first try fails behind the decision: Envoy repeats it without another Check."""
    running, _ = repeating
    owner = enrolled(running, f"repeated-{failure}")
    owner.proves(CLOSURE)
    asked, received = running.counter(CHECKS), len(running.service.received)
    if failure == "cut":
        running.service.failures = 1
    else:
        running.service.statuses = [503]
    assert owner.asks(CLOSURE).status_code == 200
    assert len(running.service.received) == received + 2
    assert running.counter(CHECKS) == asked + 1
    assert owner.is_challenged(CLOSURE)


def test_a_try_that_fails_for_good_has_used_the_proof_up(repeating: tuple[Stage, Line]) -> None:
    """A grant is spent by the first allow, whatever the upstream then does: it may well have acted."""
    running, _ = repeating
    owner = enrolled(running, "failed")
    owner.proves(CLOSURE)
    running.service.statuses = [503, 503, 503]
    assert owner.asks(CLOSURE).status_code == 503
    assert owner.is_challenged(CLOSURE)


def test_a_lost_answer_is_asked_for_again_and_the_same_check_rests_on_the_same_use(
    repeating: tuple[Stage, Line],
) -> None:
    running, line = repeating
    owner = enrolled(running, "lost")
    owner.proves(CLOSURE)
    received = len(running.service.received)
    line.to_lose = 1
    assert owner.asks(CLOSURE).status_code == 200
    assert line.to_lose == 0
    assert len(running.service.received) == received + 1
    assert owner.is_challenged(CLOSURE)


def test_a_code_in_the_header_serves_the_same_check_sent_again_and_no_other(repeating: tuple[Stage, Line]) -> None:
    running, line = repeating
    headers = running.bearer("terminal")
    coded = {**headers, "x-extauthz-otp": FactorStore(folder=running.folder).add_app("terminal")(0)}
    body = {"account": "acc-1"}
    line.to_lose = 1
    client = running.client()
    assert client.post(CLOSURE, json=body, headers=coded).status_code == 200
    assert line.to_lose == 0
    assert client.post(CLOSURE, json=body, headers=headers).status_code == 401
    again = client.post(CLOSURE, json=body, headers=coded)
    assert again.status_code == 401
    assert running.decided(again)["reason"] == "code-used"


def test_answers_that_stay_lost_let_nothing_through_and_use_the_proof_up(repeating: tuple[Stage, Line]) -> None:
    running, line = repeating
    owner = enrolled(running, "unheard")
    owner.proves(CLOSURE)
    received = len(running.service.received)
    line.to_lose = 5
    assert owner.asks(CLOSURE).status_code == 503
    assert len(running.service.received) == received
    line.to_lose = 0
    assert owner.is_challenged(CLOSURE)


def test_a_request_that_two_filters_ask_about_rests_on_one_use(repeating: tuple[Stage, Line]) -> None:
    running, _ = repeating
    owner = enrolled(running, "twice", listener="twice")
    owner.proves(CLOSURE)
    asked = running.counter(CHECKS)
    assert owner.asks(CLOSURE).status_code == 200
    assert running.counter(CHECKS) == asked + 2
    assert owner.is_challenged(CLOSURE)


def test_an_internal_redirect_is_decided_anew(repeating: tuple[Stage, Line]) -> None:
    """The proof for a request serves it alone, and not where Envoy goes on its behalf, be it to the same place."""
    running, _ = repeating
    owner = enrolled(running, "redirected")
    for path in (CLOSURE, "/accounts"):
        owner.proves(CLOSURE)
        asked, received = running.counter(CHECKS), len(running.service.received)
        running.service.statuses = [302]
        answered = owner.asks(CLOSURE, **{"x-answer": f"location: https://{owner.authority}{path}"})
        assert running.counter(CHECKS) == asked + 2
        if path == CLOSURE:
            assert is_challenge(answered)
            assert len(running.service.received) == received + 1
        else:
            assert answered.status_code == 200
            assert running.service.received[-1].target == path
    assert owner.is_challenged(CLOSURE)


def test_of_many_requests_at_once_on_one_connection_one_is_served(repeating: tuple[Stage, Line]) -> None:
    """They differ from a repetition only in the id of their stream and in when they began."""
    running, _ = repeating
    owner = enrolled(running, "crowd")
    owner.proves(CLOSURE)
    received = len(running.service.received)
    cookie = "; ".join(f"{name}={value}" for name, value in owner.cookies.items())
    headers = {**NAVIGATION, "cookie": cookie}
    with ThreadPoolExecutor(1) as thread:
        answered = thread.submit(
            asyncio.run, _at_once(f"https://{owner.authority}", headers, running.context())
        ).result()
    assert sorted(response.status_code for response in answered) == [200] + [302] * 19
    assert all(is_challenge(response) for response in answered if response.status_code == 302)
    assert len(running.service.received) == received + 1


async def _at_once(origin: str, headers: Mapping[str, str], tls: ssl.SSLContext) -> list[httpx.Response]:
    async with httpx.AsyncClient(
        verify=tls, base_url=origin, http2=True, limits=httpx.Limits(max_connections=1), trust_env=False, timeout=15
    ) as client:
        return await asyncio.gather(*(client.get(CLOSURE, headers=headers) for _ in range(20)))
