"""The device cookie from a met challenge to the next decision, and everybody who would like one without a challenge."""

from collections.abc import Mapping
from typing import Any

import pytest
from stepup.proofs import ALICE, NOW, alice, ring, shop, view
from web.conftest import Browser, World, run

from extauthz.check.devices import Devices
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import StateUnavailable
from extauthz.identity.revocations import Kind, Revocation
from extauthz.policy.device_config import DeviceSettings
from extauthz.stepup.keys import KeyRing
from extauthz.store.devices import ListedDevice
from extauthz.store.memory import MemoryStore
from extauthz.values.identity import DEVICE_COOKIE, Identity, Subject, User, Workload

BOB = Subject(ALICE.issuer, "bob")
DAY = 86_400.0
UNKNOWN = {"known": False}
GATEWAY = "spiffe://prod.example.org/ns/edge/sa/gateway"


@pytest.fixture
def followed(world: World) -> World:
    """A world in which devices can be revoked."""
    world.revocations = RevocationFeed(world.store, max_staleness=60, now=lambda: world.now)
    run(world.revocations.load())
    return world


def devices(world: World, *, keys: KeyRing | None = None, **settings: Any) -> Devices:
    """What decides, under the keys of the pages unless others are given."""
    return Devices.of(
        DeviceSettings.model_validate(settings),
        keys=keys or world.keys,
        store=world.store,
        entropy=world.entropy,
        revocations=world.revocations,
    )


def proven(world: World, browser: Browser | None = None, *, ahead: int = 0) -> Browser:
    """A browser in which Alice has met a challenge."""
    browser = browser or world.browser()
    response = browser.answer(world.challenged(browser), world.code(ahead))
    assert response.status_code == 303
    return browser


def of(cookies: Mapping[str, str], **changed: object) -> Any:
    sent = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return view(headers={"cookie": (sent,)} if sent else {}, **changed)


def told(world: World, browser: Browser, identity: Identity | None = None, **settings: Any) -> Mapping[str, Any]:
    """What conditions see of the device of a request of this browser."""
    request = of(dict(browser.cookies))
    return devices(world, **settings).of_request(request, identity or alice(), world.now)


def bob() -> Identity:
    return alice(user=User(sub="bob", iss=ALICE.issuer, sid="2"))


def revoke(world: World, kind: Kind, id_: str = "") -> None:
    run(world.store.put_revocation(Revocation(kind=kind, subject=ALICE, id=id_, at=world.now), now=world.now))
    assert world.revocations is not None
    run(world.revocations.load())


def test_a_device_is_known_after_a_challenge_was_met_on_it(world: World) -> None:
    browser = world.browser()
    assert told(world, browser) == UNKNOWN
    world.challenged(browser)
    assert told(world, browser) == UNKNOWN, "to be asked proves nothing"
    proven(world, browser)
    world.now += 120
    fields = told(world, browser)
    assert (fields["known"], fields["age"]) == (True, 120)
    (listed,) = run(world.store.devices(ALICE, now=world.now))
    assert (listed.id, listed.proven_at, listed.until) == (fields["id"], NOW, NOW + 90 * DAY)


def test_the_cookie_is_of_this_host_alone_lasts_and_is_out_of_reach_of_scripts(world: World) -> None:
    browser = world.browser()
    response = browser.answer(world.challenged(browser), world.code())
    (cookie,) = (one for one in response.headers.get_list("set-cookie") if one.startswith(f"{DEVICE_COOKIE}="))
    assert cookie.partition("; ")[2] == f"Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={90 * 86_400}"


def test_each_proof_keeps_the_device_and_when_it_was_first(world: World) -> None:
    browser = proven(world)
    first = told(world, browser)["id"]
    world.now += 30 * DAY
    proven(world, browser)
    world.now += 80 * DAY
    assert told(world, browser) == {"id": first, "known": True, "age": 110 * DAY}
    world.now += 10 * DAY
    assert told(world, browser) == {"id": first, "known": False}, "90 days after the last proof"


def test_a_wrong_code_makes_no_device_known(world: World) -> None:
    browser = world.browser()
    wrong = f"{(int(world.code()) + 1) % 10**6:06}"
    assert browser.answer(world.challenged(browser), wrong).status_code == 422
    assert DEVICE_COOKIE not in browser.cookies
    assert run(world.store.devices(None, now=NOW)) == ()


def test_a_form_of_another_origin_makes_no_device_known(world: World) -> None:
    """A sibling site posts a form with a code that its victim has typed there."""
    browser = world.browser()
    ticket = world.challenged(browser)
    for headers in ({"origin": "https://evil.example.com", "sec-fetch-site": "same-site"}, {"origin": "null"}):
        assert browser.answer(ticket, world.code(), headers=headers).status_code == 403
    assert DEVICE_COOKIE not in browser.cookies


def test_a_stolen_cookie_makes_nobody_else_known(world: World) -> None:
    browser = proven(world)
    assert told(world, browser, bob()) == {"id": told(world, browser)["id"], "known": False}
    other_issuer = alice(user=User(sub=ALICE.id, iss="https://other.example.com"))
    assert told(world, browser, other_issuer)["known"] is False
    assert told(world, browser, Identity(workload=shop()))["known"] is False
    assert told(world, browser, Identity()) == UNKNOWN


def test_a_cookie_is_worth_nothing_on_the_host_of_a_sibling_and_one_from_there_nothing_here(world: World) -> None:
    browser = proven(world)
    at_sibling = of(dict(browser.cookies), host="evil.example.com", authority="evil.example.com")
    assert devices(world).of_request(at_sibling, alice(), NOW) == UNKNOWN
    away = view(host="evil.example.com", authority="evil.example.com")
    thiefs = world.browser()
    thiefs.answer(world.challenged(thiefs, request=away), world.code(ahead=1))
    assert thiefs.cookies[DEVICE_COOKIE]
    assert told(world, thiefs) == UNKNOWN


def test_the_same_host_on_another_port_or_in_other_letters_is_the_same_host(world: World) -> None:
    browser = world.browser()
    browser.answer(world.challenged(browser, request=view(authority="App.Example.com.:8443")), world.code())
    assert told(world, browser)["known"] is True


def test_a_cookie_of_another_deployment_and_a_forged_one_are_worth_nothing(world: World) -> None:
    browser = proven(world)
    request = of(dict(browser.cookies))
    assert devices(world, keys=ring("another")).of_request(request, alice(), NOW) == UNKNOWN
    for value in ("", "d1", "x", browser.cookies[DEVICE_COOKIE][:-2], browser.cookies[DEVICE_COOKIE] + "A"):
        assert devices(world).of_request(of({DEVICE_COOKIE: value}), alice(), NOW) == UNKNOWN


def test_of_two_cookies_none_counts(world: World) -> None:
    browser = proven(world)
    value = browser.cookies[DEVICE_COOKIE]
    twice = view(headers={"cookie": (f"{DEVICE_COOKIE}={value}; {DEVICE_COOKIE}={value}",)})
    assert devices(world).of_request(twice, alice(), NOW) == UNKNOWN


def test_a_device_outlives_a_rotation_of_keys(world: World) -> None:
    browser = proven(world)
    request = of(dict(browser.cookies))
    assert devices(world, keys=ring("first", "second")).of_request(request, alice(), NOW)["known"] is True


def test_a_device_that_is_revoked_is_known_no_more_and_a_proof_there_makes_another(followed: World) -> None:
    browser = proven(followed)
    lost = told(followed, browser)["id"]
    followed.now += 60
    revoke(followed, "device", lost)
    assert told(followed, browser) == {"id": lost, "known": False}
    followed.now += 60
    proven(followed, browser)
    anew = told(followed, browser)
    assert (anew["known"], anew["age"]) == (True, 0)
    assert anew["id"] != lost


def test_all_devices_of_a_subject_are_revoked_at_once_also_such_as_nobody_lists(followed: World) -> None:
    browser, other = proven(followed), proven(followed, ahead=1)
    followed.now += 60
    revoke(followed, "devices")
    assert [told(followed, one)["known"] for one in (browser, other)] == [False, False]
    followed.now += 60
    proven(followed, browser)
    assert [told(followed, one)["known"] for one in (browser, other)] == [True, False]


def test_a_device_of_several_people_is_known_for_each_of_them_on_their_own(world: World) -> None:
    browser = proven(world)
    cookie = browser.cookies[DEVICE_COOKIE]
    value = run(devices(world).after_proof(cookie, BOB, host="app.example.com", name="", now=NOW + 5))
    assert value is not None
    world.now += 10
    both = of({DEVICE_COOKIE: value})
    ages = [devices(world).of_request(both, who, world.now).get("age") for who in (alice(), bob())]
    assert ages == [10, 5]


class Full(MemoryStore):
    """A store that lists no device."""

    async def put_device(self, device: ListedDevice, *, now: float) -> None:
        raise StateUnavailable(f"store: {device.id} came at {now}, and it is gone")


def test_a_device_that_nobody_could_revoke_is_not_made_known_and_the_proof_counts() -> None:
    world = World(store=Full())
    world.enroll()
    browser = proven(world)
    assert DEVICE_COOKIE not in browser.cookies
    assert world.grants() == 1


def test_what_a_browser_calls_itself_is_short_and_steers_no_terminal(world: World) -> None:
    browser = world.browser()
    ticket = world.challenged(browser)
    form = {"ticket": ticket, "factor": "totp", "code": world.code()}
    headers = {"origin": "null", "sec-fetch-site": "same-origin", "user-agent": "Fire\tfox " + "x" * 500}
    assert browser.request("POST", "/.extauthz/challenge", form=form, headers=headers).status_code == 303
    (listed,) = run(world.store.devices(ALICE, now=NOW))
    assert listed.name.startswith("Fire fox xxx")
    assert len(listed.name) == 120


HEADER: dict[str, Any] = {"header": {"name": "X-Device-Id", "from": [GATEWAY, "spiffe://prod.example.org/ns/mesh/**"]}}


def behind(workload: str, **changed: object) -> Identity:
    named = Workload(id=workload, trust_domain="prod.example.org", path="/", verified_by="source_principal")
    return alice(workload=named, **changed)


@pytest.mark.parametrize("workload", [GATEWAY, "spiffe://prod.example.org/ns/mesh/sa/a"])
def test_a_gateway_that_is_listed_names_the_device(followed: World, workload: str) -> None:
    request = view(headers={"x-device-id": ("laptop-7",)})
    known = devices(followed, **HEADER)
    assert known.of_request(request, behind(workload), NOW) == {"id": "laptop-7", "known": True}
    revoke(followed, "device", "laptop-7")
    assert known.of_request(request, behind(workload), NOW) == {"id": "laptop-7", "known": False}


@pytest.mark.parametrize(
    ("headers", "workload"),
    [
        ({"x-device-id": ("laptop-7",)}, "spiffe://prod.example.org/ns/shop/sa/web"),
        ({"x-device-id": ("laptop-7", "laptop-8")}, GATEWAY),
        ({"x-device-id": ("laptop-7,laptop-8",)}, GATEWAY),
        ({"x-device-id": ("",)}, GATEWAY),
        ({"x-device-id": ("x" * 257,)}, GATEWAY),
        ({"x-other": ("laptop-7",)}, GATEWAY),
    ],
)
def test_nobody_else_names_a_device(world: World, headers: dict[str, tuple[str, ...]], workload: str) -> None:
    request = view(headers=headers)
    assert devices(world, **HEADER).of_request(request, behind(workload), NOW) == UNKNOWN
    assert devices(world).of_request(request, behind(GATEWAY), NOW) == UNKNOWN, "no header is configured"
    assert devices(world, **HEADER).of_request(request, alice(), NOW) == UNKNOWN


def test_a_browser_behind_a_gateway_that_says_nothing_is_known_by_its_cookie(world: World) -> None:
    browser = proven(world)
    assert told(world, browser, behind(GATEWAY), **HEADER)["known"] is True


@pytest.mark.parametrize(
    "settings",
    [
        {"header": {"name": "x-device"}},
        {"header": {"name": "x-device", "from": []}},
        {"header": {"name": "x device", "from": [GATEWAY]}},
        {"header": {"name": "x-device", "from": ["gateway"]}},
        {"lifetime": "1s"},
        {"lifetime": "401d"},
        {"life": "1d"},
    ],
)
def test_a_configuration_that_would_believe_anybody_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's, whose text is of the field
        DeviceSettings.model_validate(settings)
