"""Events of the stream as they are written: CloudEvents 1.0.2 in their JSON format, as those about approvals are.

The rules kept here: an event says what the audit says of the same thing, so it holds nothing that the audit masks; and
it has a bounded length, whatever a request brought.

Pure: ids and times come with what is written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from extauthz.record.audit_line import (
    DecisionLine,
    GlimpseLine,
    IdentityLine,
    RequestLine,
    UserLine,
    WorkloadLine,
)
from extauthz.record.brief import Decided, in_full
from extauthz.record.event_folding import Folded
from extauthz.record.event_types import Happening
from extauthz.record.instants import rfc3339
from extauthz.record.keeping import Record
from extauthz.record.life import LifeRecord
from extauthz.record.life_lines import LifeLine, SubjectLine, life_line_of
from extauthz.record.masking import Keep, line_of
from extauthz.values.well_formed import well_formed

TYPE_PREFIX: Final = "extauthz.v1."
"""What the types of events begin with; the kind follows."""
FOLDED: Final = "events.folded"
"""The kind of an event that stands for several."""
SOURCE: Final = "/extauthz"
"""Where events come from that nobody has a name for: a reference (CloudEvents section 3.1.1, RFC 3986 section 4.1)."""
LONGEST: Final = 16_384
"""Bytes of an event; of a longer one the most important is told."""

_LONGEST_TEXT: Final = 200
_MOST_NAMES: Final = 10

_Line = TypeVar("_Line", DecisionLine, LifeLine)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventForm:
    """How this server writes events: they come from `source`, `keep` says what is not masked. `approvals` and
    `decisions` are the addresses under which people see one by its id, empty where there is none."""

    source: str = SOURCE
    keep: Keep = field(default_factory=Keep)
    approvals: str = ""
    decisions: str = ""

    def event(self, record: Record, happening: Happening, id_: str) -> bytes:
        """The event that tells what a record does."""
        if isinstance(record, LifeRecord):
            return self._lived(life_line_of(record), happening, id_)
        return self._decided(record, happening, id_)

    def folded(self, folded: Folded, id_: str) -> bytes:
        """The event that stands for those that were counted."""
        told = {
            "type": TYPE_PREFIX + folded.kind,
            "rule": folded.rule,
            "reason": folded.reason,
            "count": folded.count,
            "from": rfc3339(folded.from_ns),
            "until": rfc3339(folded.until_ns),
            "example": folded.example,
            "page": self.decisions + folded.example if folded.example and self.decisions else "",
        }
        said = {name: value for name, value in told.items() if value}
        return well_formed(self._envelope(FOLDED, id_, folded.rule or folded.reason, folded.until_ns, said))

    def _decided(self, record: Decided, happening: Happening, id_: str) -> bytes:
        page = self.decisions + record.decision_id if self.decisions else ""
        line = line_of(in_full(record), self.keep)
        return self._told(line, _decision_in_short, happening, id_, record.decision_id, page)

    def _lived(self, line: LifeLine, happening: Happening, id_: str) -> bytes:
        page = self.approvals + line.approval if self.approvals and line.approval else ""
        about = line.approval or line.challenge or line.grant or (line.subject.sub if line.subject else line.revision)
        return self._told(line, _life_in_short, happening, id_, _cut(about or ""), page)

    def _told(
        self, line: _Line, in_short: Callable[[_Line], _Line], happening: Happening, id_: str, about: str, page: str
    ) -> bytes:
        where = {"page": page} if page else {}
        told = {**msgspec.to_builtins(line), **where}
        event = well_formed(self._envelope(happening.kind, id_, about, happening.at_ns, told))
        if len(event) <= LONGEST:
            return event
        told = {**msgspec.to_builtins(in_short(line)), "cut": True, **where}
        return well_formed(self._envelope(happening.kind, id_, about, happening.at_ns, told))

    def _envelope(self, kind: str, id_: str, about: str, at_ns: int, told: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            "specversion": "1.0",
            "id": id_,
            "source": self.source,
            "type": TYPE_PREFIX + kind,
            # An attribute is left out or has a value (CloudEvents section 3.1).
            **({"subject": about} if about else {}),
            "time": rfc3339(at_ns),
            "datacontenttype": "application/json",
            "data": told,
        }


def _decision_in_short(line: DecisionLine) -> DecisionLine:
    """Who wanted what, and what became of it."""
    request, identity = line.request, line.identity
    return DecisionLine(
        v=line.v,
        time=line.time,
        decision_id=line.decision_id,
        trace_id=line.trace_id,
        decision=line.decision,
        reason=line.reason,
        rule=line.rule,
        status=line.status,
        revision=line.revision,
        duration_us=line.duration_us,
        demands=line.demands[:_MOST_NAMES],
        approvals=line.approvals[:_MOST_NAMES],
        tcp=line.tcp,
        request=None
        if request is None
        else RequestLine(
            id=_cut(request.id), method=_cut(request.method), host=_cut(request.host), path=_cut(request.path)
        ),
        glimpse=None if line.glimpse is None else _glimpse_in_short(line.glimpse),
        identity=None if identity is None else _identity_in_short(identity),
        challenge=line.challenge,
        detail=None if line.detail is None else _cut(line.detail),
    )


def _glimpse_in_short(line: GlimpseLine) -> GlimpseLine:
    return GlimpseLine(
        id=_cut(line.id),
        method=_cut(line.method),
        host=_cut(line.host),
        path=_cut(line.path),
        source_ip=_cut(line.source_ip),
    )


def _identity_in_short(line: IdentityLine) -> IdentityLine:
    workload, user = line.workload, line.user
    return IdentityLine(
        workload=None
        if workload is None
        else WorkloadLine(id=_cut(workload.id), verified_by=_cut(workload.verified_by)),
        user=None if user is None else UserLine(sub=_cut(user.sub), iss=_cut(user.iss)),
        session=line.session,
        client_ip=line.client_ip,
    )


def _life_in_short(line: LifeLine) -> LifeLine:
    """What has happened to whom."""
    subject = line.subject
    return replace(
        line,
        by=_cut(line.by),
        subject=None if subject is None else SubjectLine(sub=_cut(subject.sub), iss=_cut(subject.iss)),
        reason=None if line.reason is None else _cut(line.reason),
        details={},
        traces=line.traces[:_MOST_NAMES],
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
