"""What approvers see of what is asked, and nothing of it acts."""

import json

import pytest
from approvers.visiting import PICTURE, TREASURY, World, words
from msgspec.structs import replace as changed


def test_what_others_have_written_is_text_and_nothing_else(world: World) -> None:
    evil = "<script>alert(1)</script>\u202e'\"&"
    world.opened(
        picture=changed(
            PICTURE,
            path=f"/{evil}",
            description=evil,
            user=evil,
            show={evil: evil},
            claims={evil: {evil: evil}},
            query={evil: (evil,)},
            actors=(evil,),
            why=evil,
            place={"city": evil},
        )
    )
    anna = world.logged_in("anna", TREASURY)
    for target in ("/", "/approvals/a1"):
        text = anna.get(target).text
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert "[U+202E]" in text


def test_the_picture_is_whole(world: World) -> None:
    world.opened()
    shown = words(world.logged_in("anna", TREASURY).get("/approvals/a1"))
    for part in (
        "POST https://payments.example.com:8443/v1/accounts/acc-1/transfers",
        "?amount 250000",
        "Not shown token",
        "312 bytes",
        "DE89 3704 0044 0532 0130 00",
        '["clerk", "night"]',
        "planner for assistant",
        "spiffe://prod.example.org/ns/shop/sa/bot",
        "203.0.113.9",
        "Linköping",
        "variables.amount > 100000.0",
        "high, 0.71",
        "new-device, far-away",
        "sha256:0123456789abcdef",
        "this very request, to the last byte",
    ):
        assert part in shown, part


def test_times_of_a_token_are_times_and_what_says_nothing_is_left_out(world: World) -> None:
    claims = {
        "sub": "uma",
        "iss": "https://idp.example.com",
        "nbf": 1_795_255_200,
        "iat": 1_795_255_200,
        "exp": 1_795_255_800.5,
        "auth_time": 1_795_251_600,
        "azp": "teller-app",
    }
    world.opened(picture=changed(PICTURE, claims=claims))
    shown = words(world.logged_in("anna", TREASURY).get("/approvals/a1"))
    for part in (
        "Token issued at 2026-11-21 10:00 UTC",
        "Token good until 2026-11-21 10:10 UTC",
        "Logged in at 2026-11-21 09:00 UTC",
        "azp teller-app",
    ):
        assert part in shown, part
    for part in ("17952", " nbf ", " sub ", " iss "):
        assert part not in shown, part


@pytest.mark.parametrize("odd", [-1, 1e300, True, "soon", None, [1]])
def test_a_time_that_is_none_is_shown_as_it_is(world: World, odd: object) -> None:
    world.opened(picture=changed(PICTURE, claims={"exp": odd, "nbf": odd, "sub": odd}))
    shown = words(world.logged_in("anna", TREASURY).get("/approvals/a1"))
    said = odd if isinstance(odd, str) else json.dumps(odd)
    for part in (f"Token good until {said}", f"nbf {said}", f"sub {said}"):
        assert part in shown, part


def test_the_port_is_part_of_what_is_asked(world: World) -> None:
    world.opened()
    world.opened("a0", picture=changed(PICTURE, authority=""))
    anna = world.logged_in("anna", TREASURY)
    listed = words(anna.get("/"))
    for where in ("payments.example.com:8443/v1/accounts/acc-1/transfers", "payments.example.com/v1/accounts/acc-1"):
        assert f"POST {where}" in listed


def test_past_answers_to_the_like_are_shown(world: World) -> None:
    world.opened("a0")
    anna = world.logged_in("anna", TREASURY)
    anna.answers("deny", "fraud", id_="a0")
    world.now += 1000
    world.opened(opened_at=world.now, state_at=world.now, expires_at=world.now + 900)
    shown = words(anna.get("/approvals/a1"))
    assert "The same rule and the same subject before" in shown
    assert "fraud" in shown
