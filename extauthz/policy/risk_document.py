"""A `kind: RiskModel` document as it is written: what each field may hold, checked one by one.

What its expressions mean, and what signals and levels mean together, is checked by `modelling`.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from extauthz.policy.field_types import Block, Cel, Duration, Name, VariableName
from extauthz.policy.models import Metadata
from extauthz.values.duration import at_most


def _in_words(text: str) -> str:
    if not text.strip():
        raise ValueError("empty; say in words what the signal means")
    return text


InWords = Annotated[str, AfterValidator(_in_words), Field(max_length=512)]


class SignalModel(Block):
    """One sign of risk: when it is raised, how much it counts, for how long, and what it means in words.

    With a `half_life` it counts less as time goes by: since `since`, or since it was raised last.
    """

    when: Cel
    weight: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
    half_life: Annotated[Duration, AfterValidator(at_most("30d"))] | None = None
    since: Cel | None = None
    reason: InWords


class RiskModelSpec(Block):
    """Signals and levels; a level begins at a score."""

    variables: Annotated[dict[VariableName, Cel], Field(min_length=1)] | None = None
    signals: Annotated[dict[Name, SignalModel], Field(min_length=1, max_length=200)]
    levels: Annotated[
        dict[Name, Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]], Field(min_length=1, max_length=20)
    ]


class RiskModelDocument(Block):
    """A document of `kind: RiskModel`."""

    apiVersion: Literal["extauthz/v1"]  # noqa: N815 - the documents' own spelling
    kind: Literal["RiskModel"]
    metadata: Metadata
    spec: RiskModelSpec
