"""A `kind: RiskModel` document as it is written: what each field may hold, checked one by one.

What its expressions mean, and what signals and levels mean together, is checked by `modelling`.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from extauthz.policy.field_types import Block, Cel, Duration, Name, VariableName
from extauthz.policy.models import Metadata, VersionedDocument
from extauthz.values.duration import at_most


def _in_words(text: str) -> str:
    if not text.strip():
        raise ValueError("empty; say in words what the signal means")
    return text


InWords = Annotated[str, AfterValidator(_in_words), Field(max_length=512)]


class SignalModel(Block):
    """One sign of risk: when it is raised, how much it counts, for how long, and what it means in words."""

    when: Cel
    """CEL of type bool: the signal is raised where it is true. It sees what conditions of rules see, but no
    `request.params` and no `risk`. Where it errs, the signal counts with its whole weight."""
    weight: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
    """How much it adds to the score while it is raised: a number above 0."""
    half_life: Annotated[Duration, AfterValidator(at_most("30d"))] | None = None
    """The time after which it counts half, after twice that a quarter, after ten times nothing; at most 30 days.
    Without it, it counts while it is raised, and no longer."""
    since: Cel | None = None
    """CEL of type timestamp: the moment from which it fades. Only with `half_life`. Without it that is when the subject
    raised the signal last, which the store remembers."""
    reason: InWords
    """What the signal means, for people: in explanations, records and spans."""


class RiskModelSpec(Block):
    """Signals and levels; a level begins at a score."""

    variables: Annotated[dict[VariableName, Cel], Field(min_length=1)] | None = None
    """CEL expressions of any type by name, which the signals read as `variables.NAME`. Each is evaluated when it is
    first read, once for a request."""
    signals: Annotated[dict[Name, SignalModel], Field(min_length=1, max_length=200)]
    """Signals by name. The sum of what they count is the score."""
    levels: Annotated[
        dict[Name, Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]], Field(min_length=1, max_length=20)
    ]
    """Levels by name, with the score from which each begins: the highest that is reached is the level. One begins at
    0."""


class RiskModelDocument(VersionedDocument):
    """A document of `kind: RiskModel`."""

    kind: Literal["RiskModel"]
    """Says that the document is a risk model: signals whose weights add up to a score."""
    metadata: Metadata
    """The model's name, by which `risk` of a policy means it. Policies that name none mean the only model, or that of
    the name `default`."""
    spec: RiskModelSpec
    """What the model weighs, and which scores make which levels."""
