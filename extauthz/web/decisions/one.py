"""One decision, whole: the record of it as a picture, with everything that it leads to.

The rule: it is drawn from the record alone; what the audit masks was never in it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from extauthz.history.index_rows import decision_row, trace_of
from extauthz.history.indexing import MINUTE
from extauthz.history.trying import Tried
from extauthz.record.audit_line import DecisionLine, GlimpseLine, IdentityLine, RequestLine
from extauthz.stepup.approver_session import ApproverSession
from extauthz.web.approvers.desk import Desk
from extauthz.web.approvers.picture import Section
from extauthz.web.decisions.drafts import Untried
from extauthz.web.decisions.looking import DECISIONS_PATH, Looking, page_of
from extauthz.web.decisions.meanings import MEANINGS
from extauthz.web.decisions.table import written
from extauthz.web.decisions.waterfall import WIDTH, aftermath, waterfall

NEAR: Final = 5 * MINUTE
"""Nanoseconds before and after a decision within which another is near it."""
_LONGEST_ID: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class OneDecision:
    """The page under `/decisions/{id}`."""

    desk: Desk
    looking: Looking

    async def serve(self, request: Request) -> Response:
        """GET: the decision."""
        session = self.looking.seated(self.desk, request)
        return await self._page(session, await self._line(request))

    async def try_draft(self, request: Request) -> Response:
        """POST: the decision, and what the draft that was pasted would make of it."""
        self.looking.seated(self.desk, request)
        session, fields = await self.desk.sent(request)
        line, draft = await self._line(request), fields.get("draft", "").replace("\r\n", "\n")
        return await self._page(session, line, draft=draft, tried=(await self.looking.drafts.tried(draft, line),))

    async def _line(self, request: Request) -> DecisionLine:
        id_ = request.path_params["id"]
        line = await self.looking.ask(self.looking.index.decision, id_) if len(id_) <= _LONGEST_ID else None
        if line is None:
            raise HTTPException(404)
        return line

    async def _page(
        self, session: ApproverSession, line: DecisionLine, *, draft: str = "", tried: tuple[Tried | Untried, ...] = ()
    ) -> Response:
        """`tried` is what was found of a draft, if one was tried."""
        events = await self.looking.ask(self.looking.index.events, line)
        trace = trace_of(line)
        values = {
            "place": "decision",
            "line": line,
            "request": _asked(line),
            "status": "pending" if line.decision in ("challenge", "hold") else _COLOURS[line.decision],
            "rows": waterfall(line),
            "width": WIDTH,
            "sections": sections_of(line),
            "events": aftermath(line, events),
            "meaning": None if line.decision == "allow" else MEANINGS.get(line.reason),
            "near": tuple(_near(line)),
            "trace": trace,
            "trace_link": self.looking.trace_link(trace),
            "approvals": [(one, f"/approvals/{quote(one, safe='')}") for one in _approvals_of(line)],
            "path": page_of(line.decision_id),
            "draft": draft,
            "tried": tried,
            "raw": json.dumps(msgspec.to_builtins(line), indent=2, ensure_ascii=False),
        }
        return self.desk.render("decisions/one.html", session, values)


_COLOURS = {"allow": "approved", "deny": "denied"}


def sections_of(line: DecisionLine) -> tuple[Section, ...]:
    """What the record says beside rules, risk and times, without headings that have nothing under them."""
    request, glimpse = line.request, line.glimpse
    asked = _request(request) if request is not None else () if glimpse is None else _glimpsed(glimpse)
    identity = () if line.identity is None else tuple(_identity(line.identity))
    found = (
        Section(title="Request", lines=tuple(asked)),
        Section(title="Who called", lines=(*identity, *_session(line))),
        Section(title="What else was known", lines=tuple(_facts(line))),
        Section(title="What it rests on", lines=tuple(_grants(line))),
    )
    return tuple(one for one in found if one.lines)


def _asked(line: DecisionLine) -> str:
    """What was asked for, in a line."""
    if line.tcp:
        return "TCP"
    request = line.request
    if request is None:
        return "A request that could not be read"
    return f"{request.method} {request.host}{request.path}"


def _near(line: DecisionLine) -> Iterator[tuple[str, str]]:
    """What else was decided about then, by what it has in common with this; and where that is listed."""
    row = decision_row(line)
    minute = row.at // MINUTE * MINUTE  # whole ones, as plots have them
    times = {"since": written(minute - NEAR), "until": written(minute + MINUTE + NEAR)}
    alike = {
        "of this subject": ("subject", row.subject),
        "of this workload": ("workload", row.workload),
        "on this path": ("path", row.path),
        "for this reason": ("reason", row.reason),
    }
    for name, (field, value) in alike.items():
        if value is not None:
            yield name, f"{DECISIONS_PATH}?{urlencode({field: value, **times})}"
    yield "all", f"{DECISIONS_PATH}?{urlencode(times)}"


def _approvals_of(line: DecisionLine) -> tuple[str, ...]:
    used = (grant.approval.id for grant in line.grants if grant.approval is not None)
    return tuple(dict.fromkeys((*line.approvals, *used)))


def _request(request: RequestLine) -> Iterator[tuple[str, str]]:
    yield "Method", request.method
    yield "Host", request.host
    yield "Path", request.path
    if request.raw_path is not None:
        yield "Path as sent", request.raw_path
    named = {**{f"?{name}": values for name, values in request.query.items()}, **request.headers}
    for name, values in named.items():
        if not isinstance(values, int):
            yield name, ", ".join(values)
    if request.query_error is not None:
        yield "Query", request.query_error
    if request.body is not None:
        yield "Body", f"{request.body} bytes, masked"
    masked = {name: values for name, values in named.items() if isinstance(values, int)}
    if request.unnamed:
        masked["other parameters"] = request.unnamed
    if masked:
        yield "Masked", _counted(masked)


def _glimpsed(seen: GlimpseLine) -> Iterator[tuple[str, str]]:
    """What was seen of a request that could not be read."""
    told = {
        "Method as sent": seen.method,
        "Host as sent": seen.host,
        "Path as sent": seen.path,
        "Came from": seen.source_ip,
        "Request id": seen.id,
    }
    return ((name, value) for name, value in told.items() if value)


def _identity(identity: IdentityLine) -> Iterator[tuple[str, str]]:
    user, workload = identity.user, identity.workload
    if user is not None:
        yield "User", user.sub
        yield "Known by", user.iss
        if user.groups:
            yield "Groups", ", ".join(user.groups)
        for name, value in user.kept.items():
            yield name, _text(value)
        if user.claims:
            yield "Claims, masked", ", ".join(name for name in user.claims if name not in user.kept)
        if user.amr:
            yield "Logged in by", ", ".join(user.amr)
        if user.actor is not None:
            yield "Acting for the user", _text(user.actor)
    if workload is not None:
        yield "Workload", workload.id
        yield "Proven by", workload.verified_by
    if identity.client_ip:
        yield "Address", identity.client_ip
    if identity.session is not None:
        yield "Session", identity.session


def _session(line: DecisionLine) -> Iterator[tuple[str, str]]:
    if line.session is not None and line.session.age_s is not None:
        yield "Session's age", f"{line.session.age_s:g} s"
    if line.session is not None and line.session.idle_s is not None:
        yield "Idle for", f"{line.session.idle_s:g} s"


def _facts(line: DecisionLine) -> Iterator[tuple[str, str]]:
    if line.facts is not None:
        for name, value in msgspec.to_builtins(line.facts).items():
            yield name, _text(value)
    for name, text in line.context.items():
        yield f"context.{name}", text


def _grants(line: DecisionLine) -> Iterator[tuple[str, str]]:
    for grant in line.grants:
        uses = "" if grant.uses is None else f", {grant.uses} uses left before"
        yield grant.rule or "any rule", f"{grant.factor}, {grant.age_s:g} s old, for the {grant.bind}{uses}"
        if grant.approval is not None:
            for vote in grant.approval.votes:
                yield "Approved by", f"{vote.person} after {vote.after_s:g} s"
            if grant.approval.break_glass is not None:
                yield (
                    "Went through without",
                    f"{grant.approval.break_glass.person}: {grant.approval.break_glass.reason}",
                )
    for auto in line.auto:
        yield auto.rule, f"approved by itself: {auto.reason}"


def _counted(masked: Mapping[str, int]) -> str:
    """What the audit does not keep, in a line: most of what a browser sends has nothing more to be read."""
    every = sum(masked.values())
    names = (name if number == 1 else f"{name} ({number})" for name, number in masked.items())
    return f"{every} value{'' if every == 1 else 's'} that the audit does not keep: {', '.join(names)}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
