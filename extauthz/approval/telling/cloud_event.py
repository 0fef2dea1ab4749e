"""What systems are told: an event of CloudEvents 1.0.2 in its JSON format, for the structured mode of HTTP.

The rule: id and source together name what happened, and are the same in every attempt.
"""

from typing import Any, Final

from extauthz.approval.telling.addressing import Notice
from extauthz.approval.telling.wording import page_of
from extauthz.approval.view import approval_object
from extauthz.values.instant import instant

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
"""HTTP Protocol Binding section 3.2.1."""
TYPE_PREFIX: Final = "extauthz.v1.approval."
"""What the types of events begin with; the kind follows."""


def cloud_event(notice: Notice, *, pages: str) -> dict[str, Any]:
    """The event; its source is the origin of the approvers' `pages`, its data are those of the APIs, with the page."""
    approval = notice.approval
    return {
        "specversion": "1.0",
        "id": notice.event,
        "source": pages,
        "type": TYPE_PREFIX + notice.kind,
        "subject": approval.id,
        "time": instant(notice.at),
        "datacontenttype": "application/json",
        "data": {**approval_object(approval), "page": page_of(approval, pages=pages)},
    }
