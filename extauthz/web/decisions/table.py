"""The list of decisions: what the address asks for, and what was decided meanwhile.

The rule: what makes no sense in an address is not asked for; the page says so, and the form shows what was.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from extauthz.history.index import Found, TooMuch
from extauthz.history.index_questions import ANY, KINDS, Pattern, Wanted
from extauthz.web.approvers.desk import Desk
from extauthz.web.decisions.looking import DECISIONS_PATH, Looking, page_of
from extauthz.web.decisions.plots import HEIGHT, WIDTH, bars_of, funnel_of, highest_of, span_of

MOST: Final = 50
TEXTS: Final = (
    ("subject", "Subject"),
    ("workload", "Workload"),
    ("host", "Host"),
    ("path", "Path"),
    ("rule", "Rule"),
    ("reason", "Reason"),
)
"""Filters that are texts, with their names for people."""
HOUR: Final = 3600 * 1_000_000_000
_LONGEST: Final = 2048
_SECOND: Final = 1_000_000_000
_LATEST: Final = 2**63 // _SECOND
_FORMS: Final = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What the address asks for; what is not asked for is `""`."""

    decision: str
    texts: dict[str, str]
    find: str
    since: str
    until: str
    unread: tuple[str, ...]
    before: tuple[int, int] | None

    @classmethod
    def of(cls, request: Request) -> "Filter":
        """Read it. Raises `HTTPException` for a place in the list that no list of ours has named."""
        said = {name: value.strip()[:_LONGEST] for name, value in request.query_params.items()}
        return cls(
            decision=next((one for one in KINDS if one == said.get("decision")), ""),
            texts={name: said.get(name, "") for name, _ in TEXTS},
            find=said.get("find", ""),
            since=said.get("since", "") if moment(said.get("since", "")) is not None else "",
            until=said.get("until", "") if moment(said.get("until", "")) is not None else "",
            unread=tuple(name for name in ("since", "until") if said.get(name) and moment(said[name]) is None),
            before=_place(said.get("before", "")),
        )

    @property
    def asks(self) -> bool:
        """Whether it asks for more than a time."""
        return bool(self.decision or self.find or any(self.texts.values()))

    @property
    def wanted(self) -> Wanted:
        """What the index is asked."""
        equal = {"decision": self.decision, **self.texts, "trace": self.find.lower()}
        path = Pattern(equal.pop("path")) if ANY in equal["path"] else None
        return Wanted(
            equal={name: value for name, value in equal.items() if value},
            path=path,
            since=moment(self.since),
            until=moment(self.until),
            before=self.before,
        )

    def address(self, **changed: str) -> str:
        """The address of this list, with what is `changed`, at its newest."""
        times = {"since": self.since, "until": self.until}
        fields = {"decision": self.decision, **self.texts, "find": self.find, **times, **changed}
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"{DECISIONS_PATH}?{query}" if query else DECISIONS_PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The page `/decisions`."""

    desk: Desk
    looking: Looking

    async def serve(self, request: Request) -> Response:
        """GET: the list that the address asks for; the id of a decision, or of what it has begun, leads to its page."""
        session = self.looking.seated(self.desk, request)
        asked, index = Filter.of(request), self.looking.index
        if asked.find and (decision_id := await self._named(asked.find)) is not None:
            return RedirectResponse(page_of(decision_id), status_code=303, headers=self.desk.pages.headers)
        found: list[Found] = []
        too_much = False
        try:
            found = await self.looking.ask(index.listed, asked.wanted, most=MOST + 1)
        except TooMuch:
            too_much = True
        rows = found[:MOST]
        now = int(self.desk.clock() * _SECOND)
        until = moment(asked.until) or now
        span = span_of(moment(asked.since) or until - HOUR, until)
        counts: Mapping[tuple[int, str], int] | None = None
        with suppress(TooMuch):
            counts = await self.looking.ask(index.counts, asked.wanted, span.since, span.until, span.width)
        at = rows[-1].place if len(found) > MOST else None
        mark = sha256(repr((rows, sorted((counts or {}).items()))).encode("utf-8", "replace")).hexdigest()[:16]
        values = {
            "place": "decisions",
            "asked": asked,
            "texts": TEXTS,
            "kinds": KINDS,
            "rows": [(one, page_of(one.decision_id), _day_and_time(one.place[0])) for one in rows],
            "older": None if at is None else asked.address(before=f"{at[0]}-{at[1]}"),
            "newest": asked.address() if asked.before is not None else None,
            "too_much": too_much,
            "uncounted": counts is None,
            "bars": [
                (bar, asked.address(since=written(bar.since), until=written(bar.until)))
                for bar in bars_of(span, counts or {})
            ],
            "span": (written(span.since), written(span.until)),
            "highest": highest_of(span, counts or {}),
            "funnel": funnel_of(counts or {}),
            "width": WIDTH,
            "height": HEIGHT,
            "mark": mark,
        }
        return self.desk.render("decisions/list.html", session, values)

    async def _named(self, name: str) -> str | None:
        """The decision with this id, else that which has begun the challenge or the approval with it."""
        if await self.looking.ask(self.looking.index.decision, name) is not None:
            return name
        return await self.looking.ask(self.looking.index.began, name)


def moment(text: str) -> int | None:
    """A time as browsers send it, in UTC, as nanoseconds since the epoch; `None` if it is none."""
    for form in _FORMS:
        try:
            seconds = int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
        return seconds * _SECOND if 0 <= seconds < _LATEST else None
    return None


def written(nanoseconds: int) -> str:
    """A moment as browsers send it, to the second."""
    return datetime.fromtimestamp(nanoseconds // _SECOND, UTC).strftime(_FORMS[0])


def _day_and_time(nanoseconds: int) -> tuple[str, str]:
    day, _, hour = written(nanoseconds).partition("T")
    return day, f"{hour}.{nanoseconds % _SECOND // 1_000_000:03d}"


def _place(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    at, _, number = text.partition("-")
    if not (at.isascii() and at.isdigit() and number.isascii() and number.isdigit() and len(text) < 40):
        raise HTTPException(400)
    if max(int(at), int(number)) >= 2**63:
        raise HTTPException(400)
    return int(at), int(number)
