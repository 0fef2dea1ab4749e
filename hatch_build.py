"""Tells a wheel, and an archive of the source, which revision they are built from.

It is that of the checkout, or the variable EXTAUTHZ_REVISION where there is none, as in a build of an image. Built from
an archive of the source they have what that has.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TOLD = "extauthz/_revision.txt"


class RevisionHook(BuildHookInterface):  # type: ignore[type-arg]  # by its configuration, which it has none of
    """Adds the file that `extauthz --version` reads. It is never among the files of the checkout."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add it; not where the package is read from the checkout itself (`version` is `editable`)."""
        found = os.environ.get("EXTAUTHZ_REVISION", "").strip() or self._checked_out()
        if version == "editable" or not found:
            return
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "revision.txt"
        file.write_text(f"{found}\n", encoding="ascii")
        build_data["force_include"][str(file)] = TOLD

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - what the interface hands over
        """Remove what was written for it."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()

    def _checked_out(self) -> str:
        if not (Path(self.root) / ".git").exists():
            return ""
        head = self._git("rev-parse", "--short=12", "HEAD")
        changed = self._git("status", "--porcelain", "--untracked-files=no")
        return f"{head}+changed" if head and changed else head

    def _git(self, *arguments: str) -> str:
        """What git says; nothing if it can't be asked."""
        command = ["git", "-C", self.root, *arguments]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - they are our own
        except (OSError, subprocess.CalledProcessError):
            return ""
        return ran.stdout.strip()
