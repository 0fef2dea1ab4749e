"""Absences: when whoever is logged in is away, and who answers in their place.

The rule: everybody says it of themselves alone; times are those of UTC, as everywhere on these pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from extauthz.check.approval_absences import LONGEST_ABSENCE, LONGEST_NOTE, MOST_OF_ONE, AbsenceRefusal, Absences
from extauthz.stepup.approver_session import ApproverSession
from extauthz.values.approvals import Absence
from extauthz.web.approvers import notices
from extauthz.web.approvers.desk import Desk, TurnedAway
from extauthz.web.approvers.overview import REFRESH

ABSENCES_PATH: Final = "/absences"

_DAYS: Final = int(LONGEST_ABSENCE // 86_400)
_REFUSED: Final[Mapping[AbsenceRefusal, str]] = {
    "no-time": "It would be over before it begins, or is over already. Write a later end.",
    "too-long": f"It ends too late: at most {_DAYS} days from today. You can enter another one then.",
    "names-nobody": "That names nobody. Write who answers for you as they are known here, or nobody at all.",
    "names-yourself": "You can't stand in for yourself. Write somebody else, or nobody at all.",
    "note-too-long": f"Write less: a note has at most {LONGEST_NOTE} characters.",
    "too-many": f"There are too many absences. You have {MOST_OF_ONE} at most; end one that you don't need.",
}
_NO_MOMENT: Final = "Write both moments like 2026-11-21T10:00, in UTC."

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """The page ABSENCES_PATH."""

    desk: Desk
    absences: Absences

    async def serve(self, request: Request) -> Response:
        """GET shows the absences that concern whoever is logged in, POST enters one, or ends one."""
        if request.method != "POST":
            return await self._page(self.desk.seated(request))
        session, fields = await self.desk.sent(request)
        if "end" in fields:
            if not await self.absences.end(session.approver, fields["end"]):
                raise TurnedAway(notices.ABSENCE_GONE, then=ABSENCES_PATH)
            _log.info("absence-ended", person=session.approver.person, absence=fields["end"])
            return self._done()
        since, until = _moment(fields.get("since", "")), _moment(fields.get("until", ""))
        if since is None or until is None:
            return await self._page(session, fields, error=_NO_MOMENT)
        entered = await self.absences.put(
            session.approver,
            since=since,
            until=until,
            delegate=fields.get("delegate", "").strip() or None,
            note=fields.get("note", ""),
        )
        if not isinstance(entered, Absence):
            return await self._page(session, fields, error=_REFUSED[entered])
        _log.info("absence-entered", person=session.approver.person, absence=entered.id, delegate=entered.delegate)
        return self._done()

    async def _page(
        self, session: ApproverSession, fields: Mapping[str, str] | None = None, *, error: str = ""
    ) -> Response:
        me, now = session.approver, self.desk.clock()
        found = await self.absences.concerning(me)
        written = fields or {"since": _written(now), "until": _written(now + 86_400.0)}
        values = {
            "place": "absences",
            "path": ABSENCES_PATH,
            "mine": [one for one in found if one.absent.person == me.person],
            "others": [one for one in found if one.absent.person != me.person],
            "written": {name: written.get(name, "") for name in ("since", "until", "delegate", "note")},
            "error": error,
            "longest": LONGEST_NOTE,
            "days": _DAYS,
            "live": f"{'-'.join(one.id[:8] for one in found)} {int(now // REFRESH)}",
        }
        return self.desk.render("absences.html", session, values, status=422 if error else 200)

    def _done(self) -> Response:
        return RedirectResponse(ABSENCES_PATH, status_code=303, headers=self.desk.pages.headers)


def _moment(text: str) -> float | None:
    """What a field for a moment says, in seconds since the epoch; browsers write no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        return None
    return moment.replace(tzinfo=UTC).timestamp()


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M")
