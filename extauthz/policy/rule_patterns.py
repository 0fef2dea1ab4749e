"""Names of rules as settings write them: `payments/four-eyes`, or `payments/*` for all of a policy.

The rule: a pattern is a whole name, or that of a policy. So it can be told whether it means any rule at all.
"""

import re
from typing import Final

_PATTERN: Final = re.compile(r"[A-Za-z0-9._-]{1,128}/(?:\*|[A-Za-z0-9._-]{1,128})")


def rule_pattern(text: str) -> str:
    """The pattern, as it is written.

    Raises:
        ValueError: it is none; the message says what to write.
    """
    if _PATTERN.fullmatch(text) is None:
        raise ValueError(f"`{text}` names no rule; write `policy/rule`, or `policy/*` for all of a policy")
    return text


def covers(pattern: str, rule: str) -> bool:
    """Whether a pattern means the rule of this name, `policy/rule`."""
    return pattern == rule or (pattern.endswith("/*") and rule.startswith(pattern[:-1]))
