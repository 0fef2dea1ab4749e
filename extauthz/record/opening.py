"""From the `audit:` block to the file: the same for a server and for a command, which write to it side by side."""

from pathlib import Path

from extauthz.record.audit_file import AuditFile
from extauthz.record.config import AuditSettings
from extauthz.record.masking import Keep
from extauthz.record.rotation import Rotation
from extauthz.stepup.keys import KeyRing


def open_audit(audit: AuditSettings, *, base: Path, keys: KeyRing | None) -> AuditFile:
    """The audit file, relative to `base`; `keys` sign its checkpoints, and without them there are none.

    Raises:
        ConfigurationError: it can't be opened for writing.
    """
    rotate, retain = audit.rotate, audit.retain
    rotation = Rotation(
        size=None if rotate is None else rotate.size,
        every=None if rotate is None else rotate.every,
        retain_for=None if retain is None else retain.for_,
        retain_files=None if retain is None else retain.files,
    )
    return AuditFile(base / audit.path, Keep.of(audit.keep), keys=keys, rotation=rotation)
