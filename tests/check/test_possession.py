"""Proofs of possession on the way through the pipeline: each is used once, and a retry of Envoy's is no second use."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from check.waiting import Scene, held_open, policy
from checking import Bench, make_bench
from finishing import finished
from identity.possession import Client, new_client

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.identity.dpop import ALGORITHMS
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Store
from extauthz.store.sqlite import SqliteStore

CLIENT, OTHER = new_client(), new_client()
ALLOWED, REFUSED = ("allow", "allowed", 0), ("deny", "invalid-token", 16)
CHALLENGED = ("challenge", "proof-required", 16)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "state.db")


def headers(bench: Bench, path: str, client: Client = CLIENT, **claims: Any) -> dict[str, str]:
    """A bound token and a proof for a POST to `path`."""
    token = bench.token(cnf={"jkt": client.thumbprint})
    url = "https://payments.example.com" + path.partition("?")[0]
    proof = client.proof(token, now=bench.now[0], htm="POST", htu=url, **claims)
    return {"authorization": f"DPoP {token}", "dpop": proof}


def test_a_proof_that_is_replayed_is_refused(bench: Bench) -> None:
    sent = headers(bench, "/pay")
    assert bench.decision(bench.request("/pay?amount=5", headers=sent)) == ALLOWED
    assert bench.decision(bench.request("/pay?amount=5", headers=sent)) == REFUSED
    assert bench.decision(bench.request("/pay?amount=7", headers=sent)) == REFUSED
    assert bench.decision(bench.request("/pay?amount=5", headers=headers(bench, "/pay", jti="2"))) == ALLOWED


def test_the_same_check_sent_again_is_no_replay(bench: Bench) -> None:
    check = bench.request("/pay?amount=5", headers=headers(bench, "/pay"), request_id="r", time=(int(bench.now[0]), 5))
    assert [bench.decision(check) for _ in range(3)] == [ALLOWED] * 3
    bench.now[0] += 31
    assert bench.decision(check) == REFUSED


def test_a_replay_under_the_same_request_id_is_one(bench: Bench) -> None:
    # Clients may choose the id; the time is Envoy's.
    sent = headers(bench, "/pay")
    for nanos, expected in ((5, ALLOWED), (6, REFUSED)):
        check = bench.request("/pay?amount=5", headers=sent, request_id="r", time=(int(bench.now[0]), nanos))
        assert bench.decision(check) == expected


def test_a_proof_is_replayed_within_its_time_only_to_be_too_old_after(bench: Bench) -> None:
    sent = headers(bench, "/pay")
    assert bench.decision(bench.request("/pay?amount=5", headers=sent)) == ALLOWED
    for _ in range(50):
        bench.now[0] += 10
        assert bench.decision(bench.request("/pay?amount=5", headers=sent)) == REFUSED


def test_a_proof_that_comes_with_a_bad_token_is_not_used_up(bench: Bench) -> None:
    sent = headers(bench, "/pay")
    assert bench.decision(bench.request("/other-path", headers=sent)) == REFUSED, "it is for another address"
    assert bench.decision(bench.request("/pay?amount=5", headers={**sent, "authorization": "DPoP x.y.z"})) == REFUSED
    assert bench.decision(bench.request("/pay?amount=5", headers=sent)) == ALLOWED


def test_when_nobody_knows_whether_a_proof_was_used_it_is_refused(bench: Bench) -> None:
    asyncio.run(bench.store.close())
    check = bench.request("/health", headers=headers(bench, "/health"))
    assert bench.decision(check) == ("deny", "state-unavailable", 14)
    assert bench.decision(bench.as_user("/health")) == ALLOWED, "and who needs no store needs none"


def test_of_a_hundred_replays_at_once_one_is_allowed(bench: Bench) -> None:
    sent = headers(bench, "/pay")
    checks = [bench.request("/pay?amount=5", headers=sent) for _ in range(100)]

    async def answer(check: bytes) -> int:
        started = bench.checker.start(check)
        assert not isinstance(started, bytes)
        code: int = CheckResponse.FromString(await finished(bench.checker, started, deadline=None)).status.code
        return code

    async def race() -> list[int]:
        return await asyncio.gather(*(answer(check) for check in checks))

    assert sorted(asyncio.run(race())) == [0] + [16] * 99


POLICY = policy(hold="4m").replace('paths: ["/pay"]', 'paths: ["/held"]')


def held(after: float, act: Callable[[Scene, dict[str, str]], Awaitable[None]], **claims: Any) -> tuple[str, str]:
    """What becomes of a call whose caller proves what it holds, and for which somebody acts so many seconds later."""

    async def play() -> tuple[str, str]:
        async with held_open(POLICY) as scene:
            sent = headers(scene.bench, "/held", **claims)
            call = scene.waits(scene.bench.request("/held", headers=sent))
            await scene.held()
            scene.bench.now[0] += after
            await act(scene, sent)
            return await call

    return asyncio.run(play())


@pytest.mark.parametrize("after", [1, 31, 200])
def test_a_call_that_was_held_goes_on_by_the_proof_that_it_came_with(after: float) -> None:
    """It was fresh and new when it came, which is what RFC 9449 section 4.3 asks for."""
    assert held(after, lambda scene, _: scene.answer("approve")) == ("allow", "allowed")


def test_the_proof_of_a_call_that_is_held_serves_no_other_call() -> None:
    async def steal(scene: Scene, sent: dict[str, str]) -> None:
        for path in ("/held", "/held?amount=1"):
            assert await scene.said(scene.bench.request(path, headers=sent)) == ("deny", "invalid-token")
        scene.bench.now[0] += 300
        assert await scene.said(scene.bench.request("/held", headers=sent)) == ("deny", "invalid-token")
        scene.bench.now[0] -= 300
        await scene.answer("approve")

    assert held(31, steal) == ("allow", "allowed")


def asked_for(bench: Bench, check: bytes) -> str:
    """What the 401 to this Check asks for."""
    headers = bench.answer(check).denied_response.headers
    return next(option.header.value for option in headers if option.header.key == "www-authenticate")


def test_a_401_says_what_was_wrong_in_the_scheme_that_was_used(bench: Bench) -> None:
    """RFC 9449 sections 7.1 and 7.2, down to the answer."""
    algorithms = " ".join(ALGORITHMS)
    proven = headers(bench, "/pay", jti="a")
    bound = proven["authorization"].removeprefix("DPoP ")
    assert asked_for(bench, bench.request("/other")) == f'Bearer, DPoP algs="{algorithms}"'
    as_bearer = asked_for(bench, bench.request("/pay", headers={"authorization": f"Bearer {bound}"}))
    assert as_bearer == f'Bearer error="invalid_token", DPoP algs="{algorithms}"'
    for_another_address = asked_for(bench, bench.request("/other", headers=proven))
    assert for_another_address == f'Bearer, DPoP error="invalid_dpop_proof", algs="{algorithms}"'
    assert bench.decision(bench.request("/pay?amount=5", headers=proven)) == ALLOWED
    assert asked_for(bench, bench.request("/pay?amount=5", headers=proven)) == for_another_address, "used before"
    stepped_up = asked_for(bench, bench.request("/pay?amount=5000", headers=headers(bench, "/pay", jti="b")))
    assert stepped_up.startswith('DPoP error="insufficient_user_authentication", ')
    assert stepped_up.endswith(f', algs="{algorithms}"')


def test_what_was_proven_with_a_key_serves_no_other_key() -> None:
    # Design section 4: a grant names its holder, so that a stolen token rides on nobody's proof.
    bench = make_bench(MemoryStore())
    large = "/pay?amount=5000"
    mine = headers(bench, "/pay", jti="a")
    assert bench.decision(bench.request(large, headers=mine)) == CHALLENGED
    with_code = {**headers(bench, "/pay", jti="b"), "x-extauthz-otp": bench.code()}
    assert bench.decision(bench.request(large, headers=with_code)) == ALLOWED
    assert bench.decision(bench.request(large, headers=headers(bench, "/pay", jti="c"))) == ALLOWED
    theirs = headers(bench, "/pay", OTHER, jti="d")
    assert bench.decision(bench.request(large, headers=theirs)) == CHALLENGED
    elsewhere = bench.request(large, headers=headers(bench, "/pay", jti="e"), source_ip="203.0.113.77")
    assert bench.decision(elsewhere) == ALLOWED, "the key is the holder, wherever it is used"
