"""What remembers bundles over restarts: the last good archive, and the version below which none is accepted again.

Two files a bundle, in the folder `bundle_cache`: `NAME.bundle`, the signature's line and then the archive, whose
signature is verified again whenever it is read; and `NAME.json`, the version and hash that were accepted last. Each
is replaced whole, the archive first, so that what is remembered is always there to start from.
"""

from pathlib import Path

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError

from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import open_file, write_whole
from extauthz.policy.bundle import Bundle


class Accepted(BaseModel):
    """The bundle that was accepted last: nothing older is, and nothing else of the same version."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    version: int
    sha256: str


class Signed(msgspec.Struct, frozen=True):
    """An archive and its signature as they came; nothing is known of them yet."""

    archive: bytes
    signature: bytes


class BundleCache:
    """The files of one bundle in the folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._archive = folder / f"{name}.bundle"
        self._accepted = folder / f"{name}.json"

    def signed(self) -> Signed | None:
        """The last good archive, not yet verified; `None` if there is none.

        Raises:
            ConfigurationError: it can't be read.
        """
        content = _read(self._archive)
        if content is None:
            return None
        signature, _, archive = content.partition(b"\n")
        return Signed(archive, signature)

    def accepted(self) -> Accepted | None:
        """What was accepted last; `None` if nothing ever was.

        Raises:
            ConfigurationError: the file can't be read, or is not ours: never mistaken for "nothing yet".
        """
        content = _read(self._accepted)
        if content is None:
            return None
        try:
            return Accepted.model_validate_json(content)
        except ValidationError as error:
            raise ConfigurationError(
                f"{self._accepted}: does not say which bundle was accepted last; restore it, or remove it to accept any"
            ) from error

    def keep(self, bundle: Bundle, signed: Signed) -> None:
        """Remember a bundle as the one accepted last.

        Raises:
            ConfigurationError: it can't be written.
        """
        accepted = Accepted(version=bundle.version, sha256=bundle.sha256)
        _write(self._archive, signed.signature.strip() + b"\n" + signed.archive)
        _write(self._accepted, accepted.model_dump_json().encode() + b"\n")


def _read(path: Path) -> bytes | None:
    try:
        with open_file(path) as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path}: can't read the bundle cache: {failure_of(error)}") from error


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise ConfigurationError(f"{path}: can't write the bundle cache: {failure_of(error)}") from error
