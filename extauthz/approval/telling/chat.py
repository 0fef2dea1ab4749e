"""What the incoming hooks of chats are sent: those of Slack, of Teams, and of whatever takes the same.

The rule: values stand only where a chat reads no markup: in `text` elements of rich text (Slack), in text runs of rich
text (Adaptive Cards). What it does read as markup is of our own words, and of a rule's name with its markup disarmed.
"""

import re
from typing import Any, Final

from extauthz.approval.telling.wording import Wording

_CARD: Final = "application/vnd.microsoft.card.adaptive"
_BRACES: Final = re.compile(r"\{(?=\{)")
_VERSION: Final = "1.4"
_SCHEMA: Final = "http://adaptivecards.io/schemas/adaptive-card.json"


def slack_message(wording: Wording) -> dict[str, Any]:
    """A message in blocks; its `text` is for notifications, and for those who know no blocks."""
    elements: list[dict[str, Any]] = []
    for label, value in wording.facts:
        elements.append({"type": "text", "text": f"{label}: ", "style": {"bold": True}})
        elements.append({"type": "text", "text": f"{value}\n"})
    where = ""
    if wording.link:
        elements.append({"type": "link", "url": wording.link, "text": wording.opens, "style": {"bold": True}})
        where = f" <{wording.link}|{wording.opens}>"
    about = f": {_disarmed(wording.rule)}" if wording.rule else ""
    return {
        "text": f"{wording.headline}{about}{where}",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": wording.headline, "emoji": False}},
            {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]},
        ],
        # Nobody but people looks at the page.
        "unfurl_links": False,
        "unfurl_media": False,
    }


def teams_message(wording: Wording) -> dict[str, Any]:
    """A message with one Adaptive Card."""
    facts = [
        {
            "type": "RichTextBlock",
            "spacing": "Small",
            "inlines": [
                {"type": "TextRun", "text": _without_functions(f"{label}: "), "weight": "Bolder"},
                {"type": "TextRun", "text": _without_functions(value)},
            ],
        }
        for label, value in wording.facts
    ]
    card = {
        "$schema": _SCHEMA,
        "type": "AdaptiveCard",
        "version": _VERSION,
        "msteams": {"width": "Full"},
        "body": [
            {"type": "TextBlock", "text": wording.headline, "size": "Large", "weight": "Bolder", "wrap": True},
            *facts,
        ],
        "actions": [{"type": "Action.OpenUrl", "title": wording.opens, "url": wording.link}] if wording.link else [],
    }
    return {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": card}]}


def _disarmed(text: str) -> str:
    """Text in which a chat that reads markup finds none: neither Slack's nor Markdown, neither a link nor a mention."""
    return "".join(one if one.isalnum() or one in " -/." else "·" for one in text)


def _without_functions(text: str) -> str:
    """Cards replace `{{DATE(…)}}` by a date, wherever it stands."""
    return _BRACES.sub("{ ", text)
