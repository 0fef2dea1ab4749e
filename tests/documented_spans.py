"""What `docs/tracing.md` says that spans say: the names of their attributes."""

import re
from pathlib import Path

_TEXT = (Path(__file__).parents[1] / "docs" / "tracing.md").read_text()
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")


def is_documented(attribute: str) -> bool:
    """Whether the page has this attribute."""
    return any(pattern.fullmatch(attribute) for pattern in _ATTRIBUTES)


def _attributes() -> list[re.Pattern[str]]:
    """Each name, with `.x` behind `a.b` for `a.x`, `*` for any end, and capitals for any name."""
    found: list[re.Pattern[str]] = []
    within = ""
    for name in _CODE.findall(_FENCED.sub("", _TEXT)):
        if not re.fullmatch(r"[a-z_]*(\.[A-Za-z_]+)+(\.\*)?", name):
            continue
        whole = within + name if name.startswith(".") else name
        if not name.startswith("."):
            within = name.rpartition(".")[0]
        parts = (re.escape(part) if part.islower() else r".+" for part in whole.split("."))
        found.append(re.compile(r"\.".join(parts)))
    return found


_ATTRIBUTES = _attributes()
