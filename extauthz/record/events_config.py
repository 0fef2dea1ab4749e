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
    """How many events of a kind and a rule are told one by one; what is more is told by one that counts them."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    per_rule: Annotated[Rate, BeforeValidator(rate_of)] = DEFAULT


class EventHookSettings(HookSettings):
    """Somebody who is told of events by POST: of `types`, which may be patterns, and of `rules`, or, without those, of
    all and of what has no rule."""

    types: Annotated[
        tuple[Annotated[str, AfterValidator(_kinds)], ...], Field(min_length=1), AfterValidator(distinct)
    ] = ("*",)
    rules: (
        Annotated[
            tuple[Annotated[str, AfterValidator(rule_pattern)], ...], Field(min_length=1), AfterValidator(distinct)
        ]
        | None
    ) = None
    rate: RateSettings = RateSettings()

    @property
    def selection(self) -> Selection:
        """What it is told of."""
        return Selection.of(self.types, self.rules)


class EventsSettings(Block):
    """`source` is where events come from, as receivers know it; without it it is the origin of the approvers' pages."""

    source: Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_source)] | None = None
    webhooks: tuple[EventHookSettings, ...] = ()

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        distinct(tuple(one.name for one in self.webhooks))
        return self
