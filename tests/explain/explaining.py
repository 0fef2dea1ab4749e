"""What `extauthz policy explain` prints, to be looked at."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policytest.shop import invoke


def told(*arguments: str | Path) -> Any:
    """What `policy explain --format json` prints."""
    result = invoke("explain", "--format", "json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def words(text: str) -> str:
    """Text without the lines of its trees."""
    return " ".join("".join(" " if c in "│├└─" else c for c in text).split())


def said(found: Mapping[str, Any]) -> dict[str, str]:
    """The headers of the answer, as it would leave."""
    headers = found["response"]["deniedResponse"]["headers"]
    return {option["header"]["key"]: option["header"]["value"] for option in headers}
