"""An operator who looks at decisions, in a browser that stays logged in over an upgrade."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from serving import Served
from upgrade.earlier import Program
from upgrade.state import World

HOST: Final = "approvals.example.com"
_DECISION: Final = re.compile(r'href="/decisions/([0-9a-f-]+)"')


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Olga, with her cookies. They are for https; a proxy that ends it stands before the server."""

    cookies: Mapping[str, str]

    @classmethod
    def logged_in(cls, world: World, program: Program, served: Served) -> "Operator":
        """By the link of an administrator."""
        words = ("approvals", "link", "olga", "--person", "olga@example.com", "--group", "operators")
        told = json.loads(program.says(*words, "--config", world.config, "--format", "json"))
        link = urlsplit(told["link"])
        text = parse_qs(link.query)["link"][0]
        address = f"http://{served.said['approvals']}{link.path}"
        page = httpx.get(address, params={"link": text}, headers={"host": HOST})
        cookies = _set(page)
        headers = {"host": HOST, "sec-fetch-site": "same-origin", "origin": "null", "cookie": _field(cookies)}
        answer = httpx.post(address, headers=headers, data={"link": text})
        assert answer.status_code == 303, answer.text
        return cls(cookies=cookies | _set(answer))

    def sees(self, served: Served, **asked: str) -> list[str]:
        """The ids of the decisions on the list that an address asks for, the newest first."""
        answer = httpx.get(
            f"http://{served.said['approvals']}/decisions?{urlencode(asked)}",
            headers={"host": HOST, "cookie": _field(self.cookies), "accept": "text/html"},
        )
        assert answer.status_code == 200, answer.text
        return _DECISION.findall(answer.text)


def _set(response: httpx.Response) -> dict[str, str]:
    """The cookies that it sets."""
    pairs = (value.partition(";")[0].partition("=") for value in response.headers.get_list("set-cookie"))
    return {name: value for name, _, value in pairs}


def _field(cookies: Mapping[str, str]) -> str:
    """The `Cookie` field."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
