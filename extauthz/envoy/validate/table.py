"""The table of all rules, by what each looks at."""

from collections.abc import Sequence
from typing import Any

from extauthz.envoy.validate import (
    asking_rules,
    call_rules,
    chain_rules,
    configured_rules,
    connection_rules,
    listener_rules,
    route_rules,
)
from extauthz.envoy.validate.findings import Rule

SUBJECTS: Sequence[tuple[str, Sequence[Rule[Any]]]] = (
    ("Ways around the filter", listener_rules.RULES),
    ("The filter that asks", asking_rules.RULES),
    ("The filters around it", chain_rules.RULES),
    ("Routes", route_rules.RULES),
    ("Who calls, and for what", connection_rules.RULES),
    ("Calls and clusters", call_rules.RULES),
    ("With `--config`", configured_rules.RULES),
)
"""All rules under the headings of their documentation."""
