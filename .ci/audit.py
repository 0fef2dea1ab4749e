"""Ask for known vulnerabilities of everything that requirements.lock names; by pip-audit, which asks the package index.

Ends with 0 when advisories were got for all and none is open, with 1 when there are vulnerabilities, and with 2 when
nobody could say: an index that knows no advisories, or no network, is no good news.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent.parent / "requirements.lock"


def main() -> int:
    """Ask, and tell what was found; the exit code."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--requirement", str(LOCK)]
    asked = subprocess.run(  # noqa: S603 - the command is ours
        [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    try:
        dependencies = json.loads(asked.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = asked.stderr.strip().splitlines()[-1:] or [f"exit code {asked.returncode}"]
        print(f"audit: the package index gave no advisories: {last[0]}; try again where it can be reached")
        return 2
    lines, code = told(dependencies)
    print("\n".join(lines))
    return code


def told(dependencies: Sequence[dict[str, Any]]) -> tuple[list[str], int]:
    """What pip-audit's answer says to a person, and the exit code."""
    lines = [
        f"{one['name']} {one['version']}: {flaw['id']} ({', '.join(flaw['aliases']) or 'no other name'}); "
        + (f"take {' or '.join(flaw['fix_versions'])}" if flaw["fix_versions"] else "no version mends it yet")
        for one in dependencies
        for flaw in one.get("vulns", ())
    ]
    unknown = [one["name"] for one in dependencies if "skip_reason" in one]
    if unknown:
        lines.append(
            f"audit: the package index knows no advisories for {len(unknown)} of {len(dependencies)} packages"
            f" (`{unknown[0]}` first); ask where it can be reached itself, and not a copy without them"
        )
    else:
        lines.append(f"audit: {len(lines)} vulnerabilities in {len(dependencies)} packages")
    return lines, 1 if len(lines) > 1 else 2 if unknown or not dependencies else 0


if __name__ == "__main__":
    sys.exit(main())
