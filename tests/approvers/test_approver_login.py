"""The login of approvers at a certified OpenID provider: who gets in, as whom, and in which browser."""

import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from approval.asking import RULE, terms
from approvers.visiting import URL, Visitor, World, heading, words
from oidc.provider import CLIENT_SECRET, STEP_UP_CLIENT, Provider, new_keys, providing
from starlette.types import Receive, Scope, Send
from web.conftest import SAME_ORIGIN

from extauthz.approval.terms import Circle
from extauthz.lookup.approver_login_config import ApproverLoginSettings
from extauthz.lookup.oidc import OidcClient
from extauthz.stepup.approver_login import LOGGED_IN_PATH, LOGIN_PATH, LOGIN_SECONDS
from extauthz.values.identity import APPROVER_COOKIE
from extauthz.web.approvers import notices
from extauthz.web.approvers.entry import Provided

PEOPLE: dict[str, dict[str, object]] = {
    "anna": {"email": "Anna@example.com", "email_verified": True, "name": "Anna A.", "groups": ["treasury"]},
    "liar": {"email": "anna@example.com", "email_verified": False, "groups": ["treasury"]},
    "nobody": {"groups": ["treasury"]},
    "robot": {"email": "r@example.com", "groups": ["treasury"], "act": {"sub": "agent"}},
    "caller": {"email": "c@example.com", "groups": ["on-call:night"]},
    "member": {"email": "m@example.com", "groups": [sha256(b"%d" % number).hexdigest()[:32] for number in range(200)]},
    "text": {"email": "t@example.com", "groups": "treasury"},
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing(*new_keys("k1"), callback=URL + LOGGED_IN_PATH, people=PEOPLE) as running:
        yield running


class Scene:
    """The pages beside the provider. Each request has an event loop of its own here, to which a client belongs."""

    def __init__(self, world: World, provider: Provider, folder: Path) -> None:
        self.world = world
        self.provider = provider
        self.folder = folder
        (folder / "secret").write_text(CLIENT_SECRET)
        world.now = time.time()

        self.amr: tuple[str, ...] = ()

    def settings(self) -> ApproverLoginSettings:
        """The provider, as the configuration names it."""
        return ApproverLoginSettings(
            issuer=self.provider.issuer,
            client_id=STEP_UP_CLIENT,
            client_secret_file=Path("secret"),
            algorithms=("ES256",),
            amr=self.amr,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        client = OidcClient(self.settings(), base=self.folder)
        self.world.provided = Provided(settings=self.settings(), client=client)
        try:
            await self.world.app()(scope, receive, send)
        finally:
            await client.close()

    def visitor(self) -> Visitor:
        """A new browser."""
        return Visitor(self)

    def leaves(self, visitor: Visitor, *, then: str = "/") -> str:
        """Somebody presses the button: where at the provider they are sent."""
        visitor.get(LOGIN_PATH)
        sent = visitor.post(LOGIN_PATH, then=then)
        assert sent.status_code == 303, sent.text
        assert sent.headers["location"].startswith(self.provider.issuer)
        return sent.headers["location"]

    def logs_in(self, location: str, **said: str) -> str:
        """The path on which a browser comes back from there."""
        with httpx.Client() as browser:
            back = self.provider.log_in(browser, location, **said)
        assert back.startswith(URL + LOGGED_IN_PATH)
        return back.removeprefix(URL)


@pytest.fixture
def scene(world: World, provider: Provider, tmp_path: Path) -> Scene:
    return Scene(world, provider, tmp_path)


def test_an_approver_logs_in_and_goes_on_where_they_were(scene: Scene) -> None:
    world = scene.world
    world.opened(opened_at=world.now, state_at=world.now, expires_at=world.now + 900)
    visitor = scene.visitor()
    assert 'name="then" value="/approvals/a1"' in visitor.get("/approvals/a1").text
    back = visitor.get(scene.logs_in(scene.leaves(visitor, then="/approvals/a1"), account="anna"))
    assert (back.status_code, back.headers["location"]) == (303, "/approvals/a1")
    assert "Anna A." in visitor.get("/approvals/a1").text
    visitor.answers("approve")
    (vote,) = world.kept().votes
    assert (vote.approver.person, vote.approver.subject.issuer) == ("anna@example.com", scene.provider.issuer)
    assert vote.approver.groups == {"treasury"}


@pytest.mark.parametrize(
    ("account", "notice"),
    [
        ("liar", notices.NO_APPROVER),
        ("nobody", notices.NO_APPROVER),
        ("robot", notices.NO_APPROVER),
        ("member", notices.TOO_MUCH_TO_KEEP),
        ("text", notices.LOGIN_UNUSABLE),
    ],
)
def test_whoever_is_no_one_person_is_not_let_in(scene: Scene, account: str, notice: Any) -> None:
    visitor = scene.visitor()
    back = visitor.get(scene.logs_in(scene.leaves(visitor), account=account))
    assert (back.status_code, heading(back)) == (403, notice.title)
    assert APPROVER_COOKIE not in visitor.cookies


def test_a_login_by_other_methods_than_those_that_are_taken_is_none(scene: Scene) -> None:
    scene.amr = ("hwk",)
    visitor = scene.visitor()
    weak = visitor.get(scene.logs_in(scene.leaves(visitor), account="anna", amr="pwd"))
    assert (weak.status_code, heading(weak)) == (403, notices.LOGIN_UNUSABLE.title)
    assert visitor.get(scene.logs_in(scene.leaves(visitor), account="anna", amr="pwd,hwk")).status_code == 303


def test_no_issuer_puts_anybody_on_call(scene: Scene) -> None:
    world = scene.world
    world.ruled[RULE] = terms(circle=Circle(groups=frozenset({"on-call:night"})))
    world.opened(opened_at=world.now, state_at=world.now, expires_at=world.now + 900)
    visitor = scene.visitor()
    visitor.get(scene.logs_in(scene.leaves(visitor), account="caller"))
    assert visitor.get("/").status_code == 200
    assert visitor.get("/approvals/a1").status_code == 404


def test_a_login_that_somebody_else_began_logs_nobody_in(scene: Scene) -> None:
    attacker, victim = scene.visitor(), scene.visitor()
    back = scene.logs_in(scene.leaves(attacker), account="anna")
    for prepare in (lambda: None, lambda: victim.get(LOGIN_PATH)):
        prepare()
        refused = victim.get(back)
        assert (refused.status_code, heading(refused)) == (403, notices.LOGIN_FOREIGN.title)
    assert APPROVER_COOKIE not in victim.cookies


def test_a_code_serves_once(scene: Scene) -> None:
    visitor = scene.visitor()
    back = scene.logs_in(scene.leaves(visitor), account="anna")
    assert visitor.get(back).status_code == 303
    assert heading(visitor.get(back)) == notices.LOGIN_CALLED_OFF.title


def test_what_comes_back_is_of_this_login(scene: Scene) -> None:
    visitor = scene.visitor()
    one, other = scene.leaves(visitor), scene.leaves(visitor)
    code = parse_qs(urlsplit(scene.logs_in(one, account="anna")).query)
    state = parse_qs(urlsplit(other).query)["state"][0]
    mixed = {name: values[0] for name, values in code.items()} | {"state": state}
    refused = visitor.get(f"{LOGGED_IN_PATH}?{urlencode(mixed)}")
    assert (refused.status_code, heading(refused)) == (403, notices.LOGIN_CALLED_OFF.title)
    for query in ("", "state=x", f"state={state}&state={state}", f"state={state[:-4]}AAAA"):
        assert heading(visitor.get(f"{LOGGED_IN_PATH}?{query}")) == notices.LOGIN_MALFORMED.title
    assert APPROVER_COOKIE not in visitor.cookies


def test_a_login_that_is_called_off_or_takes_too_long_ends(scene: Scene) -> None:
    visitor = scene.visitor()
    back = scene.logs_in(scene.leaves(visitor, then="/absences"), error="access_denied")
    refused = visitor.get(back)
    assert heading(refused) == notices.LOGIN_CALLED_OFF.title
    assert 'href="/absences"' in refused.text
    back = scene.logs_in(scene.leaves(visitor), account="anna")
    scene.world.now += LOGIN_SECONDS
    assert heading(visitor.get(back)) == notices.LOGIN_EXPIRED.title


@pytest.mark.parametrize(
    "then",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/\tx",
        "/login/link?link=x",
        "",
    ],
)
def test_nobody_is_led_elsewhere_after_a_login(scene: Scene, then: str) -> None:
    visitor = scene.visitor()
    back = visitor.get(scene.logs_in(scene.leaves(visitor, then=then), account="anna"))
    assert (back.status_code, back.headers["location"]) == (303, "/")


def test_only_our_page_begins_a_login(scene: Scene) -> None:
    visitor = scene.visitor()
    visitor.get(LOGIN_PATH)
    refused = visitor.post(LOGIN_PATH, headers={**SAME_ORIGIN, "sec-fetch-site": "cross-site"}, then="/")
    assert heading(refused) == notices.NOT_OUR_FORM.title
    assert heading(scene.visitor().post(LOGIN_PATH, then="/")) == notices.NO_COOKIE.title


def test_without_a_provider_there_is_no_login(world: World) -> None:
    visitor = world.visitor()
    assert "Ask for one" in words(visitor.get("/"))
    assert heading(visitor.post(LOGIN_PATH, then="/")) == notices.NO_PROVIDER.title
    assert heading(visitor.get(f"{LOGGED_IN_PATH}?state=x")) == notices.NO_PROVIDER.title


def test_a_provider_that_does_not_answer_is_said_so(scene: Scene) -> None:
    visitor = scene.visitor()
    visitor.get(LOGIN_PATH)
    scene.provider.stop()
    try:
        refused = visitor.post(LOGIN_PATH, then="/")
        assert (refused.status_code, heading(refused)) == (503, notices.PROVIDER_AWAY.title)
        assert refused.headers["retry-after"] == "5"
    finally:
        scene.provider.start()
