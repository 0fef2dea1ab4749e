"""The table of all rules, by what each looks at, and how the documentation shows it."""

from collections.abc import Sequence
from typing import Any

from extauthz.envoy.validate import (
    after_rules,
    asking_rules,
    call_rules,
    chain_rules,
    condition_rules,
    configured_rules,
    connection_rules,
    listener_rules,
    route_rules,
    tls_rules,
)
from extauthz.envoy.validate.findings import Rule

SUBJECTS: Sequence[tuple[str, Sequence[Rule[Any]]]] = (
    ("Ways around the filter", listener_rules.RULES),
    ("The filter that asks", (*asking_rules.RULES, *condition_rules.RULES)),
    ("The filters around it", (*chain_rules.RULES, *after_rules.RULES)),
    ("Routes", route_rules.RULES),
    ("Who calls, and for what", (*connection_rules.RULES, *tls_rules.RULES)),
    ("Calls and clusters", call_rules.RULES),
    ("With `--config`", configured_rules.RULES),
)
"""All rules under the headings of their documentation."""


def rows() -> str:
    """The table as the documentation shows it, in Markdown."""
    shown = []
    for heading, rules in SUBJECTS:
        shown += [f"\n### {heading}", "| finding | | what goes wrong | what to do |", "|---|---|---|---|"]
        shown += [f"| `{one.id}` | {one.severity} | {_sentence(one.means)} | {_sentence(one.do)} |" for one in rules]
    return "\n".join([*shown, ""])


def _sentence(text: str) -> str:
    return f"{text}." if text.startswith(("extauthz", "gRPC")) else f"{text[0].upper()}{text[1:]}."
