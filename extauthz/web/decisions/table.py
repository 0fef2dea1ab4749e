"""The list of decisions: what the address asks for, and what was decided meanwhile.

The rules: what makes no sense in an address is not asked for; the page says so, and the form shows what was. An address
means the same whenever it is opened: a time as people write it leads to one with the moment that it was.
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
from extauthz.record.instants import moment_of
from extauthz.web.approvers.desk import Desk
from extauthz.web.decisions.looking import DECISIONS_PATH, Looking, page_of
from extauthz.web.decisions.plots import HEIGHT, WIDTH, bars_of, funnel_of, highest_of, span_of
from extauthz.web.rendering import visible

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
BLOCKED: Final = "blocked"
"""Asks for all that is no allow."""
SUGGESTED: Final = ("host", "rule", "reason")
"""Those of them that have few enough words to choose from."""
MOST_SUGGESTED: Final = 200
LAGGING: Final = 4 << 20
"""Bytes of the audit that the index may not have yet before the page says so: what a busy server writes in a moment."""
SETTLED: Final = 60 * 1_000_000_000
"""Nanoseconds after which nothing is added to a time any more, so that a page of it asks for no news."""
HOUR: Final = 3600 * 1_000_000_000
_LONGEST: Final = 2048
_SECOND: Final = 1_000_000_000
_LONG: Final = 60
"""Minutes of an interval that needs its day told, since its plot is of days."""
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
    as_written: bool

    @classmethod
    def of(cls, request: Request, now: datetime) -> "Filter":
        """Read it. `as_written` is whether the address has its times as `address` writes them.

        Raises `HTTPException` for a place in the list that no list of ours has named."""
        said = {name: value.strip()[:_LONGEST] for name, value in request.query_params.items()}
        times = {name: _canonical(said.get(name, ""), now) for name in ("since", "until")}
        return cls(
            decision=next((one for one in (BLOCKED, *KINDS) if one == said.get("decision")), ""),
            texts={name: said.get(name, "") for name, _ in TEXTS},
            find=said.get("find", ""),
            since=times["since"],
            until=times["until"],
            unread=tuple(name for name, time in times.items() if said.get(name) and not time),
            before=_place(said.get("before", "")),
            as_written=all(time == said.get(name, "") for name, time in times.items()),
        )

    @property
    def asks(self) -> bool:
        """Whether it asks for more than a time."""
        return bool(self.decision or self.find or any(self.texts.values()))

    @property
    def is_never(self) -> bool:
        """Whether there is no time between the two that it asks for."""
        since, until = moment(self.since), moment(self.until)
        return since is not None and until is not None and until <= since

    @property
    def wanted(self) -> Wanted:
        """What the index is asked."""
        blocked = self.decision == BLOCKED
        equal = {"decision": "" if blocked else self.decision, **self.texts, "trace": self.find.lower()}
        path = Pattern(equal.pop("path")) if ANY in equal["path"] else None
        return Wanted(
            equal={name: value for name, value in equal.items() if value},
            path=path,
            blocked=blocked,
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
        clock = self.desk.clock()
        asked, index = Filter.of(request, datetime.fromtimestamp(clock, UTC)), self.looking.index
        if not (asked.as_written or asked.unread):  # what could not be read is told of here
            return RedirectResponse(asked.address(), status_code=303, headers=self.desk.pages.headers)
        if asked.find and (decision_id := await self._named(asked.find)) is not None:
            return RedirectResponse(page_of(decision_id), status_code=303, headers=self.desk.pages.headers)
        found: list[Found] = []
        too_much = False
        try:
            found = await self.looking.ask(index.listed, asked.wanted, most=MOST + 1)
        except TooMuch:
            too_much = True
        rows = found[:MOST]
        now = int(clock * _SECOND)
        until = moment(asked.until) or now
        span = span_of(moment(asked.since) or until - HOUR, until)
        counts: Mapping[tuple[int, str], int] | None = None
        with suppress(TooMuch):
            counts = await self.looking.ask(index.counts, asked.wanted, span.since, span.until, span.width)
        at = rows[-1].place if len(found) > MOST else None
        left, whole = await self.looking.ask(index.unread)
        read = None if left <= LAGGING else int((whole - left) / whole * 100)
        mark = sha256(repr((rows, read, sorted((counts or {}).items()))).encode("utf-8", "replace")).hexdigest()[:16]
        values = {
            "place": "decisions",
            "asked": asked,
            "texts": TEXTS,
            "kinds": KINDS,
            "suggested": {name: await self._words(name) for name in SUGGESTED},
            "read": read,
            "live": read is not None or (asked.before is None and until > now - SETTLED),
            "held": None if asked.until or asked.before is not None else asked.address(until=written(now + _SECOND)),
            "rows": [(one, page_of(one.decision_id), _day_and_time(one.place[0])) for one in rows],
            "older": None if at is None else asked.address(before=f"{at[0]}-{at[1]}"),
            "newest": asked.address() if asked.before is not None else None,
            "too_much": too_much,
            "uncounted": counts is None,
            "bars": [
                (bar, _at(bar.since, span.width), asked.address(since=written(bar.since), until=written(bar.until)))
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

    async def _words(self, column: str) -> list[str]:
        """What can be chosen from there; nothing if that takes too long to tell. Callers choose hosts: one that looks
        like another is not suggested."""
        with suppress(TooMuch):
            words = await self.looking.ask(self.looking.index.words, column, most=MOST_SUGGESTED)
            return [word for word in words if visible(word) == word]
        return []

    async def _named(self, name: str) -> str | None:
        """The decision with this id, else that which has begun the challenge or the approval with it."""
        if await self.looking.ask(self.looking.index.decision, name) is not None:
            return name
        return await self.looking.ask(self.looking.index.began, name)


def moment(text: str) -> int | None:
    """A time as addresses have it, in UTC, as nanoseconds since the epoch; `None` if it is none."""
    for form in _FORMS:
        try:
            seconds = int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
        return seconds * _SECOND if 0 <= seconds < _LATEST else None
    return None


def _canonical(text: str, now: datetime) -> str:
    """A time as an address has it, from one in whatever way it was written; `""` if it is none."""
    if moment(text) is not None:
        return text
    with suppress(ValueError, OverflowError):
        at = moment_of(text, now).replace(tzinfo=None).isoformat(timespec="seconds")
        return at if moment(at) is not None else ""
    return ""


def written(nanoseconds: int) -> str:
    """A moment as addresses have it, to the second."""
    return datetime.fromtimestamp(nanoseconds // _SECOND, UTC).strftime(_FORMS[0])


def _at(nanoseconds: int, minutes: int) -> str:
    """When an interval of so many minutes begins."""
    day, _, clock = written(nanoseconds).partition("T")
    return f"{day} {clock[:5]}" if minutes >= _LONG else clock[:5]


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
