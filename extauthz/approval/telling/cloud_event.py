"""What systems are told: an event of CloudEvents 1.0.2 in its JSON format, for the structured mode of HTTP.

The rule: id and source together name what happened, and are the same in every attempt.
"""

from collections.abc import Mapping
from typing import Any, Final

from extauthz.approval.telling.addressing import Notice
from extauthz.approval.telling.wording import moment

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
"""HTTP Protocol Binding section 3.2.1."""
TYPE_PREFIX: Final = "extauthz.v1.approval."
"""What the types of events begin with; the kind follows."""


def cloud_event(notice: Notice, *, source: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """The event; `source` is the origin of the approvers' pages, `described` says of the approval what is told."""
    return {
        "specversion": "1.0",
        "id": notice.event,
        "source": source,
        "type": TYPE_PREFIX + notice.kind,
        "subject": notice.approval.id,
        "time": moment(notice.at),
        "datacontenttype": "application/json",
        "data": dict(described),
    }
