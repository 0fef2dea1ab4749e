"""A replica that is cut off from what it needs lets nothing more through, the other goes on; healing needs no hand."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from partition.network import CUTS, Cut
from partition.site import REPLICAS, Site, reason_of
from patience import comes

PEOPLE, TRIES = 6, 8
"""Who has a grant, and how often it is tried at each replica."""
FLAP = 0.15
"""Seconds for which a replica is cut off, and is not."""
CROWD = 10
"""So many ask at a time: some of them each replica."""
UNDECIDED = {"state-unavailable", "revocations-stale"}


def settled(site: Site, sub: str) -> bool:
    """Whether both replicas decide about this person, with all that they need."""
    return all(site.reason(name, "/fresh/0", sub) == "proof-required" for name in REPLICAS)


@pytest.mark.parametrize("how", CUTS)
def test_a_replica_without_its_store_fails_closed_and_the_other_goes_on(site: Site, how: Cut) -> None:
    sub = f"alice-{how}"
    assert settled(site, sub)
    with site.network.cut("a", "store", how):
        first = site.asks("a", "/fresh/0", sub)
        assert first.status_code == 503
        assert reason_of(first) in UNDECIDED, "an answer of its own, before Envoy's deadline"
        assert site.decider(first) == "a"
        assert site.reason("a", "/open") == "allowed", "what needs no look-up is decided as always"
        assert site.reason("a", "/elsewhere") == "no-rule-allows"
        # What is known of revocations gets older, until nobody can be known not to be blocked.
        assert comes(lambda: site.reason("a", "/people", sub) == "revocations-stale")
        assert site.reason("a", "/open") == "allowed"
        assert site.standing("a")["store"]["error"] is not None
        assert site.metric("a", "extauthz_store_up") == 0
        assert site.reason("b", "/people", sub) == "allowed"
        owner = site.owner(sub)
        owner.proves("/held/once/1")
        assert [owner.asks("/held/once/1").status_code for _ in range(2)] == [200, 302]
    assert comes(lambda: site.reason("a", "/people", sub) == "allowed")
    assert comes(lambda: settled(site, sub))
    assert comes(lambda: site.metric("a", "extauthz_store_up") == 1)


@pytest.mark.parametrize("how", ["silence", "answers"])
def test_a_grant_for_one_use_is_used_once_however_often_a_replica_is_cut_off(site: Site, how: Cut) -> None:
    owners = [site.owner(f"carol-{how}-{number}") for number in range(PEOPLE)]
    for number, owner in enumerate(owners):
        owner.proves(f"/held/once/{number}")
    pairs = [(owner, owner.goes_to("a")) for owner in owners]

    def use(number: int) -> Counter[int]:
        with site.network.inside("envoy"):
            path = f"/held/once/{number}"
            return Counter(at.asks(path).status_code for _ in range(TRIES) for at in pairs[number])

    with ThreadPoolExecutor(PEOPLE) as threads:
        using = [threads.submit(use, number) for number in range(PEOPLE)]
        while not all(one.done() for one in using):
            with site.network.cut("a", "store", how):
                threading.Event().wait(FLAP)
            threading.Event().wait(FLAP)
    told = [one.result() for one in using]
    assert all(set(one) <= {200, 302, 503} for one in told), told
    assert sum(one[503] for one in told) > 0, "requests came while it was cut off"
    # One whose answer was lost on the way may be used up by a request that was denied.
    assert all(one[200] <= 1 for one in told), told
    assert any(one[200] for one in told), told
    assert comes(lambda: settled(site, f"carol-{how}-0"))
    again = {at.asks(f"/held/once/{number}").status_code for number, pair in enumerate(pairs) for at in pair}
    assert again == {302}


def test_votes_count_once_wherever_they_are_cast_and_what_was_approved_goes_through_once(site: Site) -> None:
    waiting = site.asks("b", "/held/pay/1", "dora")
    assert reason_of(waiting) == "approval-required"
    (approval,) = waiting.json()["approvals"]
    with site.network.cut("a", "store", "answers"):
        assert site.vote("a", approval, "anna").status_code == 503
        assert site.vote("b", approval, "anna").status_code in {200, 409}, "409 if Redis was told of it by a"
        assert site.vote("b", approval, "anna").status_code == 409
        assert site.reason("b", "/held/pay/1", "dora") == "approval-required", "it was one vote"
        assert site.vote("b", approval, "ben").json()["status"] == "approved"
        assert site.reason("a", "/held/pay/1", "dora") in UNDECIDED
        assert [site.reason("b", "/held/pay/1", "dora") for _ in range(2)] == ["allowed", "approval-required"]
    assert comes(lambda: settled(site, "dora"))
    assert [site.reason(name, "/held/pay/1", "dora") for name in REPLICAS] == ["approval-required"] * 2


def held(site: Site, path: str, sub: str) -> httpx.Response:
    """What this person hears at replica `a`, who asks from a thread."""
    with site.network.inside("envoy"):
        return site.asks("a", path, sub)


def test_a_held_call_hears_of_its_approval_when_the_store_is_back(site: Site) -> None:
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(held, site, "/held/wait/1", "erin")
        approval = site.asked("erin")
        with site.network.cut("a", "store", "silence"):
            assert site.vote("b", approval, "anna").json()["status"] == "approved"
        assert reason_of(asking.result()) == "allowed"
    assert comes(lambda: settled(site, "erin"))


def test_a_held_call_is_denied_if_the_store_is_not_back_in_time_and_its_approval_is_still_good(site: Site) -> None:
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(held, site, "/held/shortly/1", "fred")
        approval = site.asked("fred")
        with site.network.cut("a", "store", "silence"):
            assert site.vote("b", approval, "anna").json()["status"] == "approved"
            denied = asking.result()
            assert denied.status_code == 503
            assert reason_of(denied) in UNDECIDED
            assert site.decider(denied) == "a"
    assert comes(lambda: settled(site, "fred"))
    # What it knows of revocations may be old once more, on a busy machine: a denial uses no approval up.
    assert comes(lambda: site.reason("a", "/held/shortly/1", "fred") == "allowed")


def test_a_replica_that_envoy_does_not_reach_is_left_out_and_taken_in_again(site: Site) -> None:
    def deciders() -> set[str | None]:
        return {site.decider(site.asks("https", "/people", "frank")) for _ in range(4)}

    assert comes(lambda: deciders() == {"a", "b"})
    with site.network.cut("a", "mesh", "silence"):
        assert site.asks("a", "/open").status_code == 503, "no answer is no"
        assert comes(lambda: site.health() == {"a": "failed", "b": "healthy"})
        assert comes(lambda: site.health("extauthz-idle") == {"a": "failed", "b": "healthy"})
        assert comes(lambda: site.stage.counter("cluster.extauthz-a.http2.keepalive_timeout") > 0), "its line is dead"
        assert deciders() == {"b"}
        assert {site.reason("https", "/people", "frank") for _ in range(4)} == {"allowed"}
    assert comes(lambda: set(site.health().values()) == {"healthy"})
    assert comes(lambda: deciders() == {"a", "b"})
    looks = [site.stage.counter(f"cluster.{name}.health_check.attempt") for name in ("extauthz", "extauthz-idle")]
    assert looks[1] > looks[0] / 2, "who has not been called yet is looked at as often"


def test_a_replica_that_answers_nobody_is_left_out_before_anybody_looks_at_it(site: Site) -> None:
    def ask(_: int) -> None:
        with site.network.inside("envoy"):
            site.asks("unlooked", "/open")

    def is_left_out() -> bool:
        with ThreadPoolExecutor(CROWD) as threads:
            list(threads.map(ask, range(CROWD)))
        return site.health("extauthz-unlooked") == {"a": "left out", "b": "healthy"}

    with site.network.cut("a", "mesh", "silence"):
        assert comes(is_left_out)
        assert {site.reason("unlooked", "/open") for _ in range(4)} == {"allowed"}
    assert comes(lambda: set(site.health("extauthz-unlooked").values()) == {"healthy"})
    assert comes(lambda: set(site.health().values()) == {"healthy"})
