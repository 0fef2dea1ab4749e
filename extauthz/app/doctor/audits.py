"""The check of the audit file: it can be written, and nobody has touched it."""

import os
from collections.abc import Sequence
from typing import Final

from extauthz.app.doctor.checks import Said, check, ok, problem, warning
from extauthz.app.doctor.deployment import Deployment, apart
from extauthz.app.key_file import read_keys
from extauthz.errors import ExtauthzError
from extauthz.history.audit_files import written_by
from extauthz.history.verifying import Verifying
from extauthz.record.audit_keys import by_id, public_keys
from extauthz.values.counting import counted

_MOST: Final = 64 * 1024 * 1024
"""Bytes of files that are read through here."""
_SHOWN: Final = 3


@check("audit", "the audit: its file can be written, and its chains and signatures fit")
async def audit(deployment: Deployment) -> Sequence[Said]:
    configured = deployment.settings.audit
    if configured is None:
        return [warning("nothing is recorded", "write `audit: {path: audit.jsonl}`")]
    path = deployment.settings.base / configured.path

    def looked() -> list[Said]:
        if not path.exists():
            return [warning(f"{path}: is not there", "start the server, which makes it")]
        if not os.access(path, os.W_OK):
            return [problem(f"{path}: can't be written by this user", "let the server's user write it")]
        files = written_by(path)
        size = sum(one.stat().st_size for one in files)
        if size > _MOST:
            return [ok(f"{path}: can be written; too long to be verified here: `extauthz audit verify` does it")]
        try:
            keys = by_id(public_keys(read_keys(deployment.settings.keys_path)))
        except ExtauthzError:
            keys = None  # `keys` tells it
        verifying = Verifying(keys)
        for one in files:
            for _ in verifying.read(one):
                pass
        result = verifying.result()
        said = [
            problem(str(one), "`extauthz audit verify` tells more; keep the files") for one in result.mistakes[:_SHOWN]
        ]
        return said or [ok(f"{path}: {counted(result.lines, 'line')}, and nobody touched them")]

    return await apart(looked)
