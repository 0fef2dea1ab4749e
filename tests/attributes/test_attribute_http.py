"""Sources over HTTP: what they see of a question, and what becomes of odd answers."""

import asyncio
import json
import threading
from pathlib import Path

import pytest
from attributes.asked import GOLD, PATH, page
from attributes.asking_sources import a_caller, a_request, asking, over_http, source, until
from publishing import Page, Site


def test_what_is_asked_stands_in_its_place_and_what_is_declared_is_told(site: Site) -> None:
    site.pages["/users/alice%40example.com?tenant=t%26%201"] = page()
    asked = {"user": "user.sub", "tenant": "request.headers['x-tenant']"}
    written = source(
        http={"url": site.url + "/users/{user}?tenant={tenant}"},
        ask=asked,
        fields={"tier": "string", "limit": "double", "none": "int"},
    )

    async def scene() -> None:
        async with asking(written) as world:
            request, caller = a_request(**{"x-tenant": "t& 1"}), a_caller("alice@example.com")
            told = await world.sources.fetch(frozenset({"crm"}), request=request, identity=caller, now=0.0)
            assert told.attributes == {"crm": {"tier": "gold", "limit": 5000.0}}

    asyncio.run(scene())
    (got,) = site.asked
    assert (got.method, got.body) == ("GET", b"")
    assert got.headers["accept"] == "application/json"
    assert "authorization" not in got.headers


def test_by_post_the_rest_is_sent_as_json(site: Site) -> None:
    site.pages[PATH] = page()
    asked = {"user": "user.sub", "groups": "['a', 'b']", "about": "{'path': request.path, 'n': 1, 'd': 1.0}"}
    written = source(http={"url": site.url + "/users/{user}", "method": "POST"}, ask=asked)

    async def scene() -> None:
        async with asking(written) as world:
            assert await world.told() == {"tier": "gold"}

    asyncio.run(scene())
    (got,) = site.asked
    assert (got.method, got.headers["content-type"]) == ("POST", "application/json")
    assert json.loads(got.body) == {"groups": ["a", "b"], "about": {"path": "/x", "n": 1, "d": 1.0}}


def test_the_token_is_the_one_that_its_file_holds_by_then(site: Site, tmp_path: Path) -> None:
    site.pages[PATH] = page()
    (tmp_path / "token").write_text("one\n")

    async def scene() -> None:
        async with asking(over_http(site.url, token="token"), base=tmp_path) as world:
            await world.told()
            (tmp_path / "token").write_text("two\n")
            await world.told()
            (tmp_path / "token").unlink()
            assert await world.told() is None, "nobody is asked without it"

    asyncio.run(scene())
    assert [one.headers["authorization"] for one in site.asked] == ["Bearer one", "Bearer two"]


UNUSABLE: dict[str, Page] = {
    "redirect": Page(status=302, headers={"location": "/elsewhere"}),
    "moved for good": Page(status=308, headers={"location": "/elsewhere", "content-type": "application/json"}),
    "not found": page(status=404),
    "forbidden": page(status=403),
    "our token is wrong": page(status=401),
    "created": page(status=201),
    "a page": Page(body=json.dumps(GOLD), headers={"content-type": "text/html"}),
    "no type": Page(body=json.dumps(GOLD)),
    "compressed": Page(body=b"x", headers={"content-type": "application/json", "content-encoding": "gzip"}),
    "empty": page(""),
    "not JSON": page("tier=gold"),
    "a list": page([GOLD]),
    "null": page("null"),
    "a key twice": page('{"tier": "free", "tier": "gold"}'),
    "NaN": page('{"tier": "gold", "limit": NaN}'),
    "a huge number": page('{"tier": "gold", "limit": 1e999}'),
    "not UTF-8": page(b'{"tier": "\xff"}'),
    "half a surrogate": page('{"tier": "\\ud800"}'),
    "deep": page('{"tier": "gold", "x": ' + "[" * 100 + "]" * 100 + "}"),
    "very deep": page('{"tier": "gold", "x": ' + "[" * 30_000 + "]" * 30_000 + "}"),
    "another type": page({"tier": 5}),
    "too long": page({"tier": "x" * 70_000}),
}


@pytest.mark.parametrize("odd", UNUSABLE.values(), ids=UNUSABLE)
def test_an_answer_that_is_none_tells_nothing_and_silences_the_source_for_nobody_else(site: Site, odd: Page) -> None:
    site.pages["/users/mallory"] = odd
    site.pages["/elsewhere"] = site.pages[PATH] = page()

    async def scene() -> None:
        async with asking(over_http(site.url, breaker={"failures": 1, "pause": "1h"})) as world:
            assert await world.told("mallory") is None
            assert await world.told("alice") == {"tier": "gold"}
            assert world.results == {"unusable": 1, "answered": 1}

    asyncio.run(scene())
    assert site.count("/elsewhere") == 0


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_source_that_fails_is_not_asked_for_a_while_and_then_tried_once(site: Site, status: int) -> None:
    site.pages[PATH] = page(status=status)

    async def scene() -> None:
        async with asking(over_http(site.url, breaker={"failures": 3, "pause": "10s"})) as world:
            for _ in range(5):
                assert await world.told() is None
            assert site.count(PATH) == 3
            assert world.sources.standings["crm"].given_up
            assert world.results == {"failed": 3, "turned-away": 2}
            world.elapsed[0] = 10.0
            assert [await world.told() for _ in range(2)] == [None] * 2
            assert site.count(PATH) == 4, "one has tried"
            world.elapsed[0] = 20.0
            site.pages[PATH] = page()
            assert await world.told() == {"tier": "gold"}
            assert not world.sources.standings["crm"].given_up

    asyncio.run(scene())


@pytest.mark.parametrize("how", ["hanging", "dripping", "closed"])
def test_whoever_does_not_answer_in_time_has_not_answered(site: Site, how: str) -> None:
    held = threading.Event()
    site.pages[PATH] = page(held=held) if how == "hanging" else page(pause=0.05)
    if how == "closed":
        site.down()

    async def scene() -> None:
        async with asking(over_http(site.url, timeout="200ms", breaker={"failures": 2, "pause": "1h"})) as world:
            async with asyncio.timeout(30):
                assert [await world.told() for _ in range(3)] == [None] * 3
            assert world.results == {"failed": 2, "turned-away": 1}

    try:
        asyncio.run(scene())
    finally:
        held.set()


def test_nobody_waits_for_longer_than_the_caller_does(site: Site) -> None:
    held = threading.Event()
    site.pages[PATH] = page(held=held)

    async def scene() -> None:
        async with asking(over_http(site.url, timeout="30s", cache={"ttl": "1m"})) as world:
            async with asyncio.timeout(20):
                assert (await world.fetched(patience=0.1)).attributes == {}
                assert (await world.fetched(patience=-1.0)).attributes == {}
            held.set()
            await until(lambda: world.recalled() is not None)  # who goes away ends nobody's question
            assert world.recalled() == {"tier": "gold"}

    asyncio.run(scene())
    assert site.count(PATH) == 1


def test_a_hundred_requests_at_a_time_are_one_question(site: Site) -> None:
    held = threading.Event()
    site.pages[PATH] = page(held=held)

    async def scene() -> None:
        async with asking(over_http(site.url, cache={"ttl": "1m"})) as world:
            requests = [asyncio.create_task(world.told()) for _ in range(100)]
            await until(lambda: site.count(PATH) == 1)
            requests[0].cancel()
            held.set()
            told = await asyncio.gather(*requests, return_exceptions=True)
            assert isinstance(told[0], asyncio.CancelledError)
            assert told[1:] == [{"tier": "gold"}] * 99
            assert await world.told() == {"tier": "gold"}

    asyncio.run(scene())
    assert site.count(PATH) == 1


def test_without_a_cache_no_request_shares_the_answer_of_another(site: Site) -> None:
    held = threading.Event()
    site.pages[PATH] = page(held=held)

    async def scene() -> None:
        async with asking(over_http(site.url)) as world:
            before = asyncio.create_task(world.told())
            await until(lambda: site.count(PATH) == 1)
            site.pages[PATH] = page({"tier": "none"})
            assert await world.told() == {"tier": "none"}
            held.set()
            assert await before == {"tier": "gold"}
            assert world.recalled() is None

    asyncio.run(scene())


def test_how_many_questions_are_on_their_way_is_bounded(site: Site) -> None:
    held = threading.Event()
    for number in range(9):
        site.pages[f"/users/u{number}"] = page(held=held)

    async def scene() -> None:
        async with asking(over_http(site.url, at_once=3)) as world:
            requests = [asyncio.create_task(world.told(f"u{number}")) for number in range(9)]
            await until(lambda: len(site.asked) == 3)
            await asyncio.sleep(0.1)
            assert len(site.asked) == 3
            held.set()
            assert await asyncio.gather(*requests) == [{"tier": "gold"}] * 9

    asyncio.run(scene())


def test_an_answer_counts_for_exactly_what_was_asked_and_for_its_time(site: Site) -> None:
    site.pages[PATH] = page()
    site.pages["/users/bob"] = page({"tier": "free"})

    async def scene() -> None:
        async with asking(over_http(site.url, cache={"ttl": "5m"})) as world:
            assert world.recalled() is None
            assert await world.told("alice") == {"tier": "gold"}
            assert await world.told("bob") == {"tier": "free"}
            site.down()
            assert world.recalled("alice") == await world.told("alice") == {"tier": "gold"}
            assert world.recalled("bob") == {"tier": "free"}
            assert world.recalled("carol") is None
            world.elapsed[0] = 300.0
            assert world.recalled("alice") is None
            assert await world.told("alice") is None, "what was told is over, and nobody is there"

    asyncio.run(scene())


def test_what_a_source_does_not_know_is_remembered_for_a_time_of_its_own(site: Site) -> None:
    site.pages[PATH] = Page(status=404)
    cache = {"ttl": "1h", "absent": "10s"}
    written = source(http={"url": site.url + "/users/{user}", "absent": [404]}, cache=cache)

    async def scene() -> None:
        async with asking(written) as world:
            assert await world.told() == {}
            assert await world.told() == {}
            assert site.count(PATH) == 1
            site.pages[PATH] = page()
            world.elapsed[0] = 10.0
            assert await world.told() == {"tier": "gold"}
            assert world.results["absent"] == 1

    asyncio.run(scene())


def test_no_content_says_that_nothing_is_known(site: Site) -> None:
    site.pages[PATH] = Page(status=204)

    async def scene() -> None:
        async with asking(over_http(site.url)) as world:
            assert await world.told() == {}

    asyncio.run(scene())


@pytest.mark.parametrize(("sub", "asks"), [(None, "no user"), ("a/b", "no segment"), ("..", "no segment")])
def test_a_question_that_can_not_be_made_is_not_asked_and_has_no_answer_whatever_a_failure_means(
    site: Site, sub: str | None, asks: str
) -> None:
    async def scene() -> None:
        async with asking(over_http(site.url, breaker={"failures": 1, "pause": "1h"})) as world:
            assert await world.told(sub) is None, asks
            assert not world.sources.standings["crm"].given_up
        for means in ("absent", "deny"):
            async with asking(over_http(site.url, on_failure=means)) as world:
                fetched = await world.fetched(sub)
                assert (fetched.attributes, fetched.denied) == ({}, frozenset())
                assert world.results == {"unasked": 1}

    asyncio.run(scene())
    assert site.asked == []


def test_what_can_not_be_asked_says_nothing_of_the_source(site: Site) -> None:
    site.down()

    async def scene() -> None:
        async with asking(over_http(site.url, breaker={"failures": 2, "pause": "10s"})) as world:
            for sub in ("alice", "a/b", "bob"):
                assert await world.told(sub) is None
            assert world.sources.standings["crm"].given_up, "not asked between two failures, so it was not there"
            world.elapsed[0] = 10.0
            for sub in ("a/b", "alice"):
                assert await world.told(sub) is None
            assert world.results == {"failed": 3, "unasked": 2}, "it takes no turn of those who try"

    asyncio.run(scene())


def test_a_question_has_a_bounded_length(site: Site) -> None:
    async def scene() -> None:
        async with asking(over_http(site.url)) as world:
            assert await world.told("x" * 8200) is None
            assert world.results == {"unasked": 1}

    asyncio.run(scene())
    assert site.asked == []


def test_a_failure_means_what_the_configuration_says(site: Site) -> None:
    site.down()

    async def scene() -> None:
        async with asking(over_http(site.url)) as world:
            assert (await world.fetched()).attributes == {}
            assert (await world.fetched()).denied == frozenset()
        async with asking(over_http(site.url, on_failure="absent")) as world:
            assert (await world.fetched()).attributes == {"crm": {}}
        async with asking(over_http(site.url, on_failure="deny")) as world:
            assert (await world.fetched()).attributes == {}
            assert (await world.fetched()).denied == {"crm"}

    asyncio.run(scene())


def test_all_sources_are_asked_at_once(site: Site) -> None:
    held = {path: threading.Event() for path in ("/a/alice", "/b/alice")}
    for path, event in held.items():
        site.pages[path] = page(held=event)
    written = [source(name=name, http={"url": f"{site.url}/{name}/{{user}}"}) for name in ("a", "b")]

    async def scene() -> None:
        async with asking(*written) as world:
            both = asyncio.create_task(world.fetched("alice", "a", "b", "unknown"))
            await until(lambda: len(site.asked) == 2)
            for event in held.values():
                event.set()
            assert (await both).attributes == {"a": {"tier": "gold"}, "b": {"tier": "gold"}}

    asyncio.run(scene())
