"""The worked examples of docs/examples on one stage: all policies and settings together, behind one Envoy.

Rule kept here: what runs is what a reader reads, but for the addresses of this machine, the keys of tokens, timeouts,
and windows of time, which would make a test depend on when it runs. Two examples that disagree about a setting are an
error.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
import publishing
import yaml
from e2e.visitors import Site

from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, KEY_ID, TokenIssuer

FOLDER: Final = Path(__file__).parents[2] / "docs" / "examples"
NAMES: Final = tuple(sorted(path.parent.name for path in FOLDER.glob("*/extauthz.yaml")))
PLACES: Final = "unusual-place"
"""The one that needs databases of addresses."""
CALENDAR: Final = "calendar.yaml"
"""The files with windows of time."""
OPEN: Final = ("payment-run",)
CI_ISSUER: Final = "https://gitlab.example.com"
CI_AUDIENCE: Final = "https://secrets.example.com"
BROWSED: Final = ("mail.example.com", "reports.example.com")
"""Hosts that browsers visit: here they are `localhost`, where a browser lets keys work without a name that is known."""


@dataclass(frozen=True, kw_only=True)
class Shown(Site):
    """What runs: Envoy and extauthz with the examples, and what they ask.

    `sources` answers as the attribute sources of all of them, `attributes` is the file of what the platform knows of
    workloads, `ci` signs the tokens of jobs.
    """

    sources: publishing.Site
    attributes: Path
    ci: TokenIssuer

    def ask(
        self,
        host: str,
        path: str,
        method: str = "GET",
        *,
        workload: str | None = None,
        address: str | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
    ) -> httpx.Response:
        """A request that came to the load balancer in front of Envoy from `address`; without it, round that."""
        told = {} if address is None else {"x-forwarded-for": address}
        client = self.stage.client(workload, host=host)
        return client.request(method, path, headers={**told, **(headers or {})}, json=json)

    def reason(self, response: httpx.Response) -> tuple[int, object, object]:
        """The status that the caller got, and the reason and the rule of the decision."""
        line = self.stage.decided(response)
        return response.status_code, line["reason"], line["rule"]

    def job(self, **claims: object) -> dict[str, str]:
        """The header with the token of a job."""
        claims = {"iss": CI_ISSUER, "aud": CI_AUDIENCE, **claims}
        return {"authorization": f"Bearer {self.ci.token('project_path:shop/web', claims, now=time.time())}"}

    def timeless(self, sub: str, **claims: object) -> dict[str, str]:
        """The header with a token that does not tell when it was issued."""
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "exp": int(time.time()) + 600, **claims}
        token = jwt.encode(claims, self.stage.issuer.key, algorithm="ES256", headers={"kid": KEY_ID})
        return {"authorization": f"Bearer {token}"}


def policies(names: Iterable[str]) -> str:
    """The documents of these examples, tests among them, as a server reads them."""
    texts = (
        _calendar(path.read_text()) if path.name == CALENDAR else path.read_text()
        for name in names
        for path in sorted((FOLDER / name / "policies").glob("*.yaml"))
    )
    together = "\n---\n".join(texts)
    for host in BROWSED:
        together = together.replace(host, "localhost")
    return together


def settings(names: Iterable[str], places: Mapping[str, str]) -> dict[str, Any]:
    """The settings of these examples together; `places` are texts in them, and what takes their place in a test."""
    together: dict[str, Any] = {}
    for name in names:
        text = (FOLDER / name / "extauthz.yaml").read_text()
        for before, after in places.items():
            text = text.replace(before, after)
        own = yaml.safe_load(text)
        del own["policies"]
        together = _joined(together, own)
    return together


def _joined(one: Any, other: Any) -> Any:
    match one, other:
        case dict(), dict():
            return {
                key: _joined(one.get(key, other.get(key)), other.get(key, one.get(key))) for key in {**one, **other}
            }
        case list(), list():
            return [*one, *(entry for entry in other if entry not in one)]
        case _:
            assert one == other, "two examples say different things of one setting"
            return one


def _calendar(text: str) -> str:
    """The windows of `OPEN` are always open, all others never."""
    calendar = yaml.safe_load(text)
    in_three_days = (datetime.now(UTC) + timedelta(days=3)).strftime("%a").lower()
    for name, window in calendar["spec"]["windows"].items():
        hours = {"from": "00:00", "to": "24:00"}
        window["hours"] = [hours if name in OPEN else {"days": [in_three_days], **hours}]
        del window["holidays"]
    rewritten: str = yaml.safe_dump(calendar)
    return rewritten
