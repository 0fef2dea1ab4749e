"""Keys that are published: rotated, withdrawn, out of reach, replaced by nonsense; and how often they are asked for."""

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm
from lookup.deciding import QUICK, SLOW, asking, key_set, new_key, settings_of, source, until
from publishing import Page, Site

from extauthz.app.bundles import Bundles
from extauthz.app.reload import Reloader, Status
from extauthz.app.wiring import make_resolver
from extauthz.identity.lookups import Done, FetchKeys
from extauthz.lookup.key_fetching import MAX_DOCUMENT
from extauthz.lookup.key_sets import Pace
from extauthz.record.chronicle import SILENT
from extauthz.web.metrics import Metrics
from extauthz.web.probes import Readiness

OLD, NEW = new_key("old"), new_key("new")


def test_a_new_key_is_taken_when_its_first_token_comes_and_a_removed_one_ends_at_once(
    site: Site, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD))

    async def scene() -> None:
        async with asking(settings) as world:
            old, new = OLD.token(), NEW.token()
            assert await world.reason(old) == "allowed"
            assert world.answers_at_once(old)
            site.pages["/jwks"] = Page(body=key_set(OLD, NEW))
            assert await world.reason(new) == "allowed"
            assert world.result() == {"changed": 2}
        site.pages["/jwks"] = Page(body=key_set(OLD))
        async with asking(settings) as world:
            assert await world.reason(old) == "allowed"
            site.pages["/jwks"] = Page(body=key_set(NEW))
            assert await world.reason(new) == "allowed"  # which brings the set without the old key
            assert await world.reason(old) == "invalid-token"  # though it was verified before

    asyncio.run(scene())


def test_keys_that_came_meanwhile_use_up_no_turn(site: Site, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD))

    async def scene() -> None:
        async with asking(settings) as world:
            await until(lambda: world.result() == {"changed": 1})
            # Whoever has looked before they came and asks after that.
            assert await world.informants.keys.ask(FetchKeys(source="idp")) == Done()
            assert site.count("/jwks") == 1
            site.pages["/jwks"] = Page(body=key_set(NEW))
            assert await world.reason(NEW.token()) == "allowed"
            assert world.result() == {"changed": 2}

    asyncio.run(scene())


def test_a_withdrawn_key_ends_without_any_token_of_another(site: Site, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD, NEW))

    async def scene() -> None:
        async with asking(settings, pace=QUICK) as world:
            token = OLD.token()
            await world.until(token, "allowed")
            site.pages["/jwks"] = Page(body=key_set(NEW))
            await world.until(token, "invalid-token")
            assert await world.reason(NEW.token()) == "allowed"

    asyncio.run(scene())


def test_a_hundred_requests_with_an_unknown_key_are_one_fetch(site: Site, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD))

    async def scene() -> None:
        async with asking(settings) as world:
            assert await world.reason(OLD.token()) == "allowed"
            held = threading.Event()
            site.pages["/jwks"] = Page(body=key_set(OLD, NEW), held=held)
            requests = [asyncio.create_task(world.reason(NEW.token(sub=f"u{number}"))) for number in range(100)]
            await until(lambda: site.count("/jwks") == 2)
            assert not any(request.done() for request in requests)
            held.set()
            assert set(await asyncio.gather(*requests)) == {"allowed"}
            assert site.count("/jwks") == 2

    asyncio.run(scene())


def test_strangers_keys_make_us_ask_once_in_a_while_and_their_tokens_are_invalid(site: Site, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD))

    async def scene() -> None:
        async with asking(settings) as world:
            assert await world.reason(OLD.token()) == "allowed"
            for number in range(20):
                assert await world.reason(new_key(f"made-up-{number}").token()) == "invalid-token"
            assert site.count("/jwks") == 2
            assert site.asked[1].headers["cache-control"] == "no-cache"
            assert world.answers_at_once(OLD.token(sub="u2"))

    asyncio.run(scene())


def test_a_caller_that_goes_away_does_not_end_the_fetch_of_the_others(site: Site, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    held = threading.Event()
    site.pages["/jwks"] = Page(body=key_set(OLD), held=held)

    async def scene() -> None:
        async with asking(settings) as world:
            first, second = (asyncio.create_task(world.reason(OLD.token())) for _ in range(2))
            await until(lambda: bool(site.asked))
            first.cancel()
            held.set()
            assert await second == "allowed"
            assert site.count("/jwks") == 1

    asyncio.run(scene())


def test_an_issuer_that_is_away_at_the_start_is_waited_for_and_welcome(site: Site, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD))
    site.down()

    async def scene() -> None:
        async with asking(settings, pace=QUICK) as world:
            token = OLD.token()
            assert await world.reason(token) == "issuer-unavailable"
            standing = world.informants.keys.standings["idp"]
            assert standing.confirmed_at is None
            assert standing.failing_since is not None
            assert f"{site.url}/jwks" in (standing.error or "")
            site.up()
            await world.until(token, "allowed")
            standing = world.informants.keys.standings["idp"]
            assert (standing.error, standing.failing_since) == (None, None)
            assert standing.confirmed_at is not None

    asyncio.run(scene())


def test_good_keys_outlive_their_issuer(site: Site, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD))

    async def scene() -> None:
        async with asking(settings, pace=QUICK) as world:
            await world.until(OLD.token(), "allowed")
            site.down()
            await until(lambda: world.result().get("failed", 0) >= 3)
            assert world.answers_at_once(OLD.token(sub="u2"))
            assert await world.reason(OLD.token(sub="u2")) == "allowed"
            # Also over a reload.
            resolver = world.informants.keys.newest(make_resolver(settings))
            world.checker.swap(replace(world.checker.ruling, resolver=resolver))
            assert await world.reason(OLD.token(sub="u3")) == "allowed"
            # Of a key that we don't know nobody can say whether it is a new one.
            assert await world.reason(NEW.token()) == "issuer-unavailable"
            site.pages["/jwks"] = Page(body=key_set(NEW))
            site.up()
            await world.until(NEW.token(), "allowed")
            assert await world.reason(OLD.token(sub="u2")) == "invalid-token"

    asyncio.run(scene())


def private_set() -> str:
    jwk = ECAlgorithm.to_jwk(NEW.private, as_dict=True)
    return json.dumps({"keys": [{**jwk, "kid": "new"}]})


NONSENSE = {
    "an error": (Page(status=500, body=key_set(NEW)), "failed", "answered with 500"),
    "nothing": (Page(status=204), "failed", "answered with 204"),
    "not there": (Page(status=404), "failed", "answered with 404"),
    "unasked 304": (Page(status=304), "failed", "answered with 304"),
    "another place": (Page(status=302, headers={"location": "/elsewhere"}), "failed", "answered with 302"),
    "garbage": (Page(body=b"\x00\xff\xfe"), "refused", "not UTF-8"),
    "a page for people": (Page(body="<html>maintenance</html>"), "refused", "not JSON"),
    "other JSON": (Page(body='{"error": "x"}'), "refused", "expected a JWK Set"),
    "two readings": (Page(body='{"keys": [], "keys": []}'), "refused", "a member is there twice"),
    "no keys": (Page(body='{"keys": []}'), "refused", "no public key for ES256"),
    "private keys": (Page(body=private_set()), "refused", "holds a secret"),
    "compressed": (Page(body=b"\x1f\x8b\x08", headers={"content-encoding": "gzip"}), "refused", "not UTF-8"),
    "too much": (Page(body=" " * MAX_DOCUMENT + key_set(NEW)), "failed", f"longer than {MAX_DOCUMENT} bytes"),
    "too slow": (Page(body=key_set(NEW), pause=0.05), "failed", "no whole answer within 2 s"),
}


@pytest.mark.parametrize(("page", "result", "message"), NONSENSE.values(), ids=NONSENSE)
def test_what_is_no_good_set_of_keys_replaces_nothing(
    site: Site, tmp_path: Path, page: Page, result: str, message: str
) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD))
    site.pages["/elsewhere"] = Page(body=key_set(NEW))

    async def scene() -> None:
        async with asking(settings, pace=replace(SLOW, timeout=2.0, patience=60.0)) as world:
            assert await world.reason(OLD.token()) == "allowed"
            site.pages["/jwks"] = page
            assert await world.reason(NEW.token()) == "issuer-unavailable"
            assert world.result() == {"changed": 1, result: 1}
            assert message in (world.informants.keys.standings["idp"].error or "")
            assert await world.reason(OLD.token()) == "allowed"
            assert site.count("/elsewhere") == 0

    asyncio.run(scene())


def test_nobody_waits_long_for_a_slow_issuer_and_nobody_at_all_for_one_that_just_failed(
    site: Site, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    held = threading.Event()

    async def scene() -> None:
        site.pages["/jwks"] = Page(body=key_set(OLD), held=held)
        async with asking(settings, pace=replace(SLOW, patience=0.05, timeout=60)) as world:
            async with asyncio.timeout(20):  # without the rule it would wait for the fetch, which does not end
                assert await world.reason(OLD.token()) == "issuer-unavailable"
            assert world.result() == {}
            held.set()  # the fetch has gone on
            await until(lambda: world.result() == {"changed": 1})
        held.clear()
        site.pages["/jwks"] = Page(status=503)
        async with asking(settings, pace=replace(QUICK, patience=60.0, timeout=60)) as world:
            await until(lambda: bool(world.result()))
            site.pages["/jwks"] = Page(body=key_set(OLD), held=held)
            await until(lambda: site.asked[-1].status == 200)
            async with asyncio.timeout(20):
                for _ in range(10):
                    assert await world.reason(OLD.token()) == "issuer-unavailable"
            held.set()
            await world.until(OLD.token(), "allowed")

    asyncio.run(scene())


def test_what_is_unchanged_is_not_sent_again_and_changes_nothing(site: Site, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD), headers={"etag": '"1"'})

    async def scene() -> None:
        async with asking(settings, pace=QUICK) as world:
            await world.until(OLD.token(), "allowed")
            resolver = world.checker.ruling.resolver
            await until(lambda: world.result().get("unchanged", 0) >= 2)
            assert [one.status for one in site.asked[:3]] == [200, 304, 304]
            assert world.checker.ruling.resolver is resolver
            site.pages["/jwks"] = Page(body=key_set(NEW), headers={"etag": '"2"'})
            await world.until(NEW.token(), "allowed")
            # Without tags, by the text.
            site.pages["/jwks"] = Page(body=key_set(NEW))
            before = world.result()["unchanged"]
            await until(lambda: world.result()["unchanged"] >= before + 3)
            assert world.result()["changed"] == 2

    asyncio.run(scene())


def test_another_order_is_no_other_set(site: Site, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD, NEW))

    async def scene() -> None:
        async with asking(settings) as world:
            assert await world.reason(OLD.token()) == "allowed"
            resolver = world.checker.ruling.resolver
            site.pages["/jwks"] = Page(body=key_set(NEW, OLD))
            assert await world.reason(new_key("made-up").token()) == "invalid-token"
            assert world.result() == {"changed": 1, "unchanged": 1}
            assert world.checker.ruling.resolver is resolver  # with the tokens that it knows
            # And a set that is written anew each time does not make us ask for every stranger.
            assert await world.reason(new_key("made-up").token()) == "invalid-token"
            assert site.count("/jwks") == 2

    asyncio.run(scene())


def test_sources_do_not_share_keys_or_outages(site: Site, tmp_path: Path) -> None:
    partner = "https://partner.example.com"
    settings = settings_of(
        tmp_path,
        [
            source(jwks=f"{site.url}/jwks"),
            source("partner", issuer=partner, jwks=f"{site.url}/partner"),
        ],
    )
    site.pages["/jwks"] = Page(body=key_set(OLD))
    site.pages["/partner"] = Page(status=503)

    async def scene() -> None:
        async with asking(settings) as world:
            assert await world.reason(OLD.token()) == "allowed"
            assert await world.reason(OLD.token(iss=partner)) == "issuer-unavailable"
            assert await world.reason(NEW.token()) == "invalid-token"

    asyncio.run(scene())


def test_keys_that_come_during_a_reload_stay(site: Site, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, [source(jwks=f"{site.url}/jwks")])
    site.pages["/jwks"] = Page(body=key_set(OLD))
    building, built = threading.Event(), threading.Event()
    reloaded = asyncio.Event()

    class Halting(Bundles):
        """Stops a reload in its thread, where it has everything but has swapped nothing."""

        def accept(self, *_: object) -> None:
            building.set()
            built.wait(30)

    class Told(Status):
        def accepted(self, *_: object, **__: object) -> None:
            reloaded.set()

    async def scene() -> None:
        async with asking(settings) as world:
            assert await world.reason(OLD.token()) == "allowed"
            before = world.checker.ruling
            reloader = Reloader(
                settings,
                world.checker,
                Halting(settings, lambda *_: None),
                world.informants.keys,
                Told(Readiness(), Metrics(), SILENT, lambda _: None),
            )
            reloader.request()
            await asyncio.to_thread(building.wait, 30)
            site.pages["/jwks"] = Page(body=key_set(NEW))
            assert await world.reason(NEW.token()) == "allowed"
            built.set()
            await reloaded.wait()
            await reloader.stop()
            assert world.checker.ruling.policies is not before.policies
            assert world.answers_at_once(NEW.token())
            assert await world.reason(NEW.token()) == "allowed"
            assert await world.reason(OLD.token()) == "invalid-token"

    asyncio.run(scene())


@given(wanted=st.none() | st.floats(min_value=0, max_value=1e12), failures=st.integers(0, 10_000))
def test_keys_are_looked_at_neither_always_nor_never(wanted: float | None, failures: int) -> None:
    pace = Pace()
    assert pace.shortest <= pace.after_success(wanted) <= pace.longest
    assert pace.first_retry <= pace.after_failure(failures) <= pace.longest_retry
    assert pace.after_failure(failures) <= pace.after_failure(failures + 1)


def test_the_publisher_says_how_long_its_keys_stay() -> None:
    pace = Pace(shortest=60, usual=300, longest=3600)
    assert [pace.after_success(wanted) for wanted in (None, 0.0, 90.0, 86_400.0)] == [300, 60, 90, 3600]
