"""Scenes of held calls, played to their end, and what the answers say."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from check.waiting import Scene, held_open
from checking import ISSUER

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.values.identity import Subject

ALICE = Subject(ISSUER, "alice")
NAVIGATES = {"sec-fetch-mode": "navigate", "accept": "text/html"}


def played(scene: Callable[[Scene], Awaitable[None]], text: str | None = None, **kinds: object) -> None:
    async def play() -> None:
        async with held_open(text, **kinds) as made:  # type: ignore[arg-type]  # those of the one who calls
            await scene(made)

    asyncio.run(play())


def headers_of(response: CheckResponse) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for option in response.denied_response.headers:
        found.setdefault(option.header.key, []).append(option.header.value)
    return found


def problem(response: CheckResponse) -> dict[str, object]:
    read: dict[str, object] = json.loads(response.denied_response.body)
    return read
