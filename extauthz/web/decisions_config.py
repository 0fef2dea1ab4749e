"""The `decisions:` block of extauthz.yaml: the page on which operators find decisions, and who they are.

The rule: without groups there is nobody who may look; what a decision tells is not for everybody who answers approvals.
"""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from extauthz.values.block import Block, distinct

TRACE_ID: Final = "{trace_id}"


def _leads_to_traces(url: str) -> str:
    if not url.startswith(("https://", "http://")) or url.count(TRACE_ID) != 1:
        raise ValueError(f"must be an address with `{TRACE_ID}` in it: `https://jaeger.example.com/trace/{TRACE_ID}`")
    return url


class OperatorsSettings(Block):
    """Who may see decisions."""

    groups: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
        Field(min_length=1),
        AfterValidator(distinct),
    ]
    """Groups of the approvers' issuer whose members may see decisions. There is no default: they tell who asked for
    what."""


class DecisionsSettings(Block):
    """The page on which operators find decisions."""

    operators: OperatorsSettings
    """Who may see decisions."""
    index: Path = Path("decisions.sqlite")
    """The file by which decisions are found. It is made again from the audit if it is gone."""
    trace_url: Annotated[str, AfterValidator(_leads_to_traces)] | None = None
    """Where a trace is looked at, with `{trace_id}` in its place. Without it traces are no links."""
