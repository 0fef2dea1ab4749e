"""What webhooks are sent about approvals, in the form that each of them takes.

The rule: a form is chosen by the settings alone; what a letter says is the same in all of them.
"""

from typing import Any, assert_never

import msgspec

from extauthz.approval.telling.addressing import Notice, read_notice
from extauthz.approval.telling.chat import slack_message, teams_message
from extauthz.approval.telling.cloud_event import cloud_event
from extauthz.approval.telling.config import Format
from extauthz.approval.telling.wording import wording_of


def approval_message(content: bytes, form: Format, *, pages: str) -> bytes:
    """What is sent for a letter with this content; `pages` is the origin of the approvers' pages.

    Raises:
        ValueError: it was written by another version, which said something else.
    """
    return msgspec.json.encode(_message(read_notice(content), form, pages=pages))


def _message(notice: Notice, form: Format, *, pages: str) -> dict[str, Any]:
    match form:
        case "cloudevents":
            return cloud_event(notice, pages=pages)
        case "slack":
            return slack_message(wording_of(notice, pages=pages))
        case "teams":
            return teams_message(wording_of(notice, pages=pages))
        case _:
            assert_never(form)
