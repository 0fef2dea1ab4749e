"""The `events:` block of extauthz.yaml: who is told of what guardrails do, of what, and how often.

The rules: who is told is what they are for approvals, with the same settings. What names nothing is refused, for it
would never be told.
"""

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from extauthz.approval.telling.config import HookSettings
from extauthz.policy.rule_patterns import rule_pattern
from extauthz.record.event_folding import DEFAULT
from extauthz.record.event_types import Selection, kinds_like
from extauthz.values.block import Block, distinct
from extauthz.values.rate import Rate, rate_of


def _kinds(text: str) -> str:
    kinds_like(text)
    return text


def _source(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or any(one in text for one in ' "<>\\^`{|}'):
        raise ValueError(f"`{text}` is no reference to where events come from; write `https://authz.example.com`")
    return text


class RateSettings(Block):
    """How many events are told one by one; what is more is told by one that counts them."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    per_rule: Annotated[Rate, BeforeValidator(rate_of)] = DEFAULT
    """How many events of one kind and rule are told one by one, as `10/min` or `3/h`. What is more is counted in one
    event, so that a flood of denials is no flood of messages."""


class EventHookSettings(HookSettings):
    """Somebody who is told of events by POST."""

    types: Annotated[
        tuple[Annotated[str, AfterValidator(_kinds)], ...], Field(min_length=1), AfterValidator(distinct)
    ] = ("*",)
    """Which events it is told of, as `decision.deny` or `factor.*`; by default all."""
    rules: (
        Annotated[
            tuple[Annotated[str, AfterValidator(rule_pattern)], ...], Field(min_length=1), AfterValidator(distinct)
        ]
        | None
    ) = None
    """The rules whose events it is told of, as `payments/four-eyes` or `payments/*`. Without it all, and events that
    have no rule."""
    rate: RateSettings = RateSettings()
    """How many events are told one by one."""

    @property
    def selection(self) -> Selection:
        """What it is told of."""
        return Selection.of(self.types, self.rules)


class EventsSettings(Block):
    """Who is told of what guardrails do."""

    source: Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_source)] | None = None
    """Where events come from, as receivers know it (`source` of CloudEvents). By default the origin of the approvers'
    pages."""
    webhooks: tuple[EventHookSettings, ...] = ()
    """Programs and chats that are told of events."""

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        distinct(tuple(one.name for one in self.webhooks))
        return self
