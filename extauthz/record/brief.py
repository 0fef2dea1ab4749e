"""A decision in brief: what is left behind of one until its line and its span are made.

The rule kept here: it says all that a record says, in few objects. Of the views that were made to decide it takes what
is told, so that they go with the answer: the next decision is made where they were, and not in memory that is far away
by then; and whoever writes comes to one object in place of a dozen. What many have in common is the very same object.
"""

from collections.abc import Mapping
from typing import Any, Final, final

from extauthz.record.decision import DecisionRecord, Trace, Wait
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import Allow, Decision, Deny, RuleResult
from extauthz.values.facts import Question
from extauthz.values.grants import SessionAges
from extauthz.values.headers import Headers
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, HttpRequest, Peer, RequestView
from extauthz.values.span_ids import SpanIds


class Reasoning:
    """What records say of how it was decided: the same in all of which that is the very same.

    `is_more` is whether there is anything but the decision and its rules, `may_rest` whether the decision may ask, wait
    for or rest on something. `line` and `span` are for those who write them to note what they say of it; both go with
    it.
    """

    def __init__(
        self,
        revision: str,
        decision: Decision,
        rules: tuple[RuleResult, ...],
        session: SessionAges | None = None,
        risk: tuple[Assessment, ...] = (),
        views: Mapping[str, Any] = EMPTY,
        asked: Mapping[str, Question] = EMPTY,
        answers: Mapping[Question, Any] = EMPTY,
    ) -> None:
        self.revision: Final = revision
        self.decision: Final = decision
        self.rules: Final = rules
        self.session: Final = session
        self.risk: Final = risk
        self.views: Final = views
        self.asked: Final = asked
        self.answers: Final = answers
        self.is_more: Final = session is not None or bool(risk) or bool(views) or bool(asked)
        self.may_rest: Final = (
            bool(decision.grants or decision.auto) if isinstance(decision, Allow) else not isinstance(decision, Deny)
        )
        self.line: object = None
        self.span: object = None


class Beside:
    """What few records say beside; each is as `DecisionRecord` has it."""

    def __init__(
        self, detail: str | None, trace: Trace, span: SpanIds | None, waits: tuple[Wait, ...], challenge: str
    ) -> None:
        self.detail: Final = detail
        self.trace: Final = trace
        self.span: Final = span
        self.waits: Final = waits
        self.challenge: Final = challenge
        self.is_more: Final = detail is not None or bool(waits) or bool(challenge)


NOTHING: Final = Beside(None, (), None, (), "")


@final
class Brief:
    """What was decided on a request; its fields are as `DecisionRecord`, `RequestView` and `HttpRequest` have them.

    `size` are the bytes of the Check, `length` is the size that Envoy says of the request. `traceparent` is for whoever
    has read the headers to note: the one that tells the parent alone, as everybody sends it.
    """

    def __init__(
        self,
        decision_id: str,
        reasoning: Reasoning,
        started_ns: int,
        ended_ns: int,
        request: RequestView,
        http: HttpRequest,
        identity: Identity | None,
        size: int,
        beside: Beside,
    ) -> None:
        self.decision_id: Final = decision_id
        self.reasoning: Final = reasoning
        self.started_ns: Final = started_ns
        self.ended_ns: Final = ended_ns
        self.identity: Final = identity
        self.size: Final = size
        self.beside: Final = beside
        self.source: Final[Peer] = request.source
        self.destination: Final[Peer] = request.destination
        self.time: Final[tuple[int, int]] = request.time
        self.sni: Final[str] = request.sni
        self.context: Final[Mapping[str, str]] = request.context
        self.metadata: Final[Mapping[str, Any]] = request.metadata
        self.route_metadata: Final[Mapping[str, Any]] = request.route_metadata
        self.id: Final[str] = http.id
        self.method: Final[str] = http.method
        self.scheme: Final[str] = http.scheme
        self.host: Final[str] = http.host
        self.authority: Final[str] = http.authority
        self.path: Final[str] = http.path
        self.raw_path: Final[str] = http.raw_path
        self.raw_query: Final[str] = http.raw_query
        self.has_query: Final[bool] = http.has_query
        self.protocol: Final[str] = http.protocol
        self.headers: Final[Headers] = http.headers
        self.length: Final[int] = http.size
        self.body: Final[bytes | None] = http.body
        self.traceparent = ""

    def http(self) -> HttpRequest:
        """The request, without the segments of its path: no record says them."""
        return HttpRequest(
            self.id,
            self.method,
            self.scheme,
            self.host,
            self.authority,
            self.path,
            (),
            self.raw_path,
            self.raw_query,
            self.protocol,
            self.headers,
            self.length,
            self.body,
            self.has_query,
        )

    def view(self) -> RequestView:
        """The Check, the same way."""
        return RequestView(
            self.source,
            self.destination,
            self.http(),
            self.time,
            self.sni,
            self.context,
            self.metadata,
            self.route_metadata,
        )

    def whole(self) -> DecisionRecord:
        """The record in full."""
        reasoning, beside = self.reasoning, self.beside
        return DecisionRecord(
            self.decision_id,
            reasoning.revision,
            reasoning.decision,
            self.started_ns,
            self.ended_ns,
            reasoning.rules,
            self.view(),
            None,
            self.identity,
            reasoning.session,
            reasoning.risk,
            reasoning.views,
            reasoning.asked,
            reasoning.answers,
            beside.detail,
            beside.trace,
            beside.span,
            beside.waits,
            beside.challenge,
            self.size,
        )


Decided = DecisionRecord | Brief
"""What was decided: in brief, or in full where there was no request that could be read."""


def in_full(record: Decided) -> DecisionRecord:
    """The record in full."""
    return record.whole() if isinstance(record, Brief) else record
