"""Who is told of approvals and denials by webhooks, and what waits for them when the server that wrote it ends."""

import asyncio
import base64
import hmac
import json
from collections import Counter
from typing import Any, Final

from app.callers import Gateway
from app.replicas import Site as Servers
from patience import comes
from publishing import Asked, Page, Site
from telling.telling_parts import SECRET
from upgrade.earlier import Program
from upgrade.state import World, asked_approval

AUDIT, GONE, SIEM = "/audit", "/gone", "/siem"
"""Who is told of approvals, who is told once and takes nothing, and who is told of denials."""
_AWAY: Final = Page(status=500)
_THERE: Final = Page(status=200, body="ok", pause=0.3)
"""It takes its time, in which nobody else may come with the same."""


def prepare(world: World, receiver: Site) -> None:
    """Webhooks to a receiver that takes nothing yet."""
    receiver.pages |= {AUDIT: _AWAY, GONE: Page(status=404), SIEM: _AWAY}
    (world.folder / "hook.secret").write_text(SECRET)

    def webhook(path: str, **more: Any) -> dict[str, Any]:
        place = {"name": path[1:], "url": receiver.url + path, "addresses": ["127.0.0.1"]}
        return {**place, "secrets": [{"file": "hook.secret"}], "timeout": "5s", **more}

    approvals = json.loads(world.config.read_text())["approvals"]
    world.configure(approvals={**approvals, "webhooks": [webhook(AUDIT), webhook(GONE, attempts=1)]})
    if world.version.events:
        world.configure(events={"webhooks": [webhook(SIEM, types=["decision.deny"])]})


def takes_all(receiver: Site) -> None:
    """From now on the receiver takes everything."""
    receiver.pages |= dict.fromkeys((AUDIT, GONE, SIEM), _THERE)


def waiting(world: World, program: Program) -> Counter[tuple[str, str, str]]:
    """The letters that this program knows of: for whom, of what kind, whether they wait or are dead."""
    told = program.says("approvals", "deliveries", "list", "--config", world.config, "--format", "json")
    return Counter((one["sink"], one["kind"], one["status"]) for one in json.loads(told))


def left_letters(world: World, site: Servers, receiver: Site, program: Program) -> Counter[tuple[str, str, str]]:
    """What a server of this program could not tell before it was killed."""
    denials = asyncio.run(_give_reasons(world, site))
    assert comes(lambda: receiver.count(GONE) == 2)
    assert comes(lambda: receiver.count(AUDIT) > 0)
    assert not world.version.events or comes(lambda: receiver.count(SIEM) > 0)
    wanted = Counter(
        {(sink, kind, status): 1 for sink, status in (("audit", "waiting"), ("gone", "dead")) for kind in KINDS}
    )
    wanted[("siem", "decision.deny", "waiting")] = denials * world.version.events
    assert comes(lambda: waiting(world, program) == wanted), waiting(world, program)
    return wanted


KINDS: Final = ("opened", "voted")


async def _give_reasons(world: World, site: Servers) -> int:
    """An approval that is asked for and has a vote, and a denial; how many denials these were on a busy machine."""
    async with Gateway(site) as gateway:
        approval = await asked_approval(gateway, world, "dora")
        assert world.vote(site, approval, "anna") == 200
        assert await gateway.reason(world.asks("mallory", "/x")) == "subject-blocked"
        return 1 + gateway.put_off


def taken(receiver: Site, path: str) -> list[dict[str, Any]]:
    """The events that were taken at this path, in their order; each was signed."""
    asked = [one for one in receiver.asked if (one.path, one.status) == (path, _THERE.status)]
    assert all(map(is_signed, asked))
    return [json.loads(one.body) for one in asked]


def is_signed(asked: Asked) -> bool:
    """As docs/webhooks.md tells receivers to check."""
    headers = asked.headers
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + asked.body
    mac = hmac.digest(base64.b64decode(SECRET.removeprefix("whsec_")), text, "sha256")
    return f"v1,{base64.b64encode(mac).decode()}" in headers["webhook-signature"].split(" ")
