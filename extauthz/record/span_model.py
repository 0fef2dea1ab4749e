"""A span with all that it says, before any exporter's form: what every way of telling it has to come to.

The rule kept here: the limits of OpenTelemetry cut what comes last, so that a span that is too long still says what was
decided.
"""

from itertools import islice
from typing import Final, Literal

import msgspec

from extauthz.record.span_attributes import Attributes, Value
from extauthz.values.span_ids import SpanIds

Kind = Literal[1, 2, 3]
"""As OTLP counts them (`Span.SpanKind`)."""
INTERNAL: Final = 1
SERVER: Final = 2
CLIENT: Final = 3


class SpanModel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One span.

    Ids are 16 and 8 bytes; `parent` is empty for the first of a trace, and `remote` if it is of another process.
    `failure` is the description of a span that is an error. Times are nanoseconds since the epoch.
    """

    name: str
    kind: Kind
    trace_id: bytes
    span_id: bytes
    parent: bytes = b""
    remote: bool = False
    state: str = ""
    started_ns: int
    ended_ns: int
    attributes: Attributes
    links: tuple[SpanIds, ...] = ()
    failure: str | None = None
    dropped_attributes: int = 0
    dropped_links: int = 0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Most attributes and links of a span, and characters of a value (OpenTelemetry specification, "Span Limits");
    `None` is no limit."""

    attributes: int | None = None
    length: int | None = None
    links: int | None = None

    def applied(self, model: SpanModel) -> SpanModel:
        """The span within the limits; what it loses is counted in it."""
        attributes: Attributes = {
            name: _cut(value, self.length) for name, value in islice(model.attributes.items(), self.attributes)
        }
        links = model.links[: self.links]
        return msgspec.structs.replace(
            model,
            attributes=attributes,
            links=links,
            dropped_attributes=len(model.attributes) - len(attributes),
            dropped_links=len(model.links) - len(links),
        )


def _cut(value: Value, length: int | None) -> Value:
    if isinstance(value, str):
        return value[:length]
    if isinstance(value, list | tuple):
        return [one[:length] for one in value]
    return value
