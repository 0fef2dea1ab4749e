"""Bundles: policies in one signed archive, from bytes to files.

A bundle is a `.tar.gz` of regular files: `manifest.json` first, then policy files. Its detached signature is Ed25519
(RFC 8032) over a fixed prefix and all bytes of the archive, in base64, in a file beside it with `.sig` at the end.

Pure. The rule kept here: nothing of an archive is looked at before its signature is found good, and what is not
exactly as `pack` makes it is refused.
"""

import base64
import binascii
import gzip
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from extauthz.errors import ExtauthzError
from extauthz.policy.field_types import instant
from extauthz.policy.yaml_source import MAX_CHARACTERS

MAX_ARCHIVE: Final = 16 * 1024 * 1024
"""Bytes of an archive."""
MAX_UNPACKED: Final = 64 * 1024 * 1024
"""Bytes of an archive after decompression."""
MAX_FILES: Final = 10_000
MAX_VERSION: Final = 2**53 - 1
"""What every JSON reader keeps exactly."""
MANIFEST: Final = "manifest.json"
SIGNATURE_SUFFIX: Final = ".sig"
_MAX_MANIFEST: Final = 4096
_PREFIX: Final = b"extauthz bundle 1\n"
"""Signed before the archive, so that a signature made for anything else is no signature of a bundle."""
_SUFFIXES: Final = (".yaml", ".yml")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class BundleRefused(ExtauthzError):
    """A bundle that is not used: unsigned, wrongly signed, older, of another name, or not in the form of one."""


def bundle_name(text: str) -> str:
    """A name of a bundle, which is also one of files: the characters of a DNS label (RFC 1123 section 2.1).

    Raises `ValueError` for any other.
    """
    if not _NAME.fullmatch(text):
        raise ValueError("not a name; write lower-case letters, digits and inner `-`, at most 63")
    return text


def _moment(text: str) -> str:
    instant(text)
    return text


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal["extauthz-bundle/1"]
    name: Annotated[str, AfterValidator(bundle_name)]
    version: int = Field(ge=1, le=MAX_VERSION)
    created: Annotated[str, AfterValidator(_moment)]


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle whose signature was good. `created` is RFC 3339, `sha256` the archive's in hex; `files` are unpacked."""

    name: str
    version: int
    created: str
    sha256: str
    files: tuple[tuple[str, bytes], ...]

    @property
    def places(self) -> tuple[tuple[str, bytes], ...]:
        """The files by the names that problems call them."""
        return tuple((f"{self.name}@{self.version}/{name}", content) for name, content in self.files)


def public_key(pem: bytes) -> Ed25519PublicKey:
    """The key that signatures are verified with. Raises `BundleRefused` if `pem` is none."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if b"PRIVATE KEY-----" in pem:
        raise BundleRefused(
            "this is a private key; give the public one, `bundle-public.pem` of `extauthz bundle keygen`"
        )
    if not isinstance(key, Ed25519PublicKey):
        raise BundleRefused("not an Ed25519 public key in PEM; make one with `extauthz bundle keygen`")
    return key


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """The key that bundles are signed with. Raises `BundleRefused` if `pem` is none."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # `TypeError`: it is encrypted
        key = None
    if b"PUBLIC KEY-----" in pem:
        raise BundleRefused(
            "this is a public key; give the private one, `bundle-private.pem` of `extauthz bundle keygen`"
        )
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleRefused("not an unencrypted Ed25519 private key in PEM; make one with `extauthz bundle keygen`")
    return key


def sign(archive: bytes, key: Ed25519PrivateKey) -> bytes:
    """The content of the signature file."""
    return base64.b64encode(key.sign(_PREFIX + archive)) + b"\n"


def open_bundle(archive: bytes, signature: bytes, *, key: Ed25519PublicKey, name: str) -> Bundle:
    """The bundle of these two files.

    Raises:
        BundleRefused: the signature is not good, the bundle is not called `name`, or it is malformed.
    """
    if len(archive) > MAX_ARCHIVE:
        raise BundleRefused(f"longer than {MAX_ARCHIVE} bytes")
    try:
        key.verify(base64.b64decode(signature.strip(), validate=True), _PREFIX + archive)
    except (InvalidSignature, binascii.Error) as error:
        raise BundleRefused("the signature is not one of this archive by the configured key") from error
    files = _unpacked(archive)
    manifest = _manifest(files)
    if manifest.name != name:
        raise BundleRefused(f"is the bundle `{manifest.name}`, not `{name}`")
    return Bundle(
        name=name,
        version=manifest.version,
        created=manifest.created,
        sha256=hashlib.sha256(archive).hexdigest(),
        files=tuple(files[1:]),
    )


def refuse_older(bundle: Bundle, *, version: int, sha256: str) -> None:
    """Refuse a bundle that is older than the one that was accepted last, or says the same version of other content.

    Raises:
        BundleRefused: it is, or does.
    """
    if bundle.version < version:
        raise BundleRefused(f"version {bundle.version} is older than {version}, which was accepted before")
    if bundle.version == version and bundle.sha256 != sha256:
        raise BundleRefused(f"version {version} was accepted before with other content; give each change a new version")


def pack(files: Iterable[tuple[str, bytes]], *, name: str, version: int, created: str) -> bytes:
    """The archive of policy files, the same bytes for the same arguments.

    Raises:
        BundleRefused: what would be packed could not be opened again.
    """
    try:
        manifest = _Manifest(format="extauthz-bundle/1", name=name, version=version, created=created)
    except ValidationError as error:
        raise BundleRefused(_first(error)) from None
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in ((MANIFEST, manifest.model_dump_json().encode()), *sorted(files)):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    packed = gzip.compress(tar.getvalue(), mtime=0)
    if len(packed) > MAX_ARCHIVE:
        raise BundleRefused(f"would be longer than {MAX_ARCHIVE} bytes; make two of it")
    _unpacked(packed)
    return packed


def _manifest(files: list[tuple[str, bytes]]) -> _Manifest:
    if not files or files[0][0] != MANIFEST:
        raise BundleRefused(f"does not begin with `{MANIFEST}`; build it with `extauthz bundle build`")
    if len(files[0][1]) > _MAX_MANIFEST:
        raise BundleRefused(f"{MANIFEST}: longer than {_MAX_MANIFEST} bytes")
    try:
        return _Manifest.model_validate_json(files[0][1])
    except ValidationError as error:
        raise BundleRefused(f"{MANIFEST}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    text = first["msg"].removeprefix("Value error, ")
    return f"{place}: {text[:1].lower()}{text[1:]}" if place else text


def _unpacked(archive: bytes) -> list[tuple[str, bytes]]:
    """The files of an archive, by name, in its order."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_decompressed(archive)), mode="r:") as tar:
            for member in tar:
                if len(files) >= MAX_FILES:
                    raise BundleRefused(f"holds more than {MAX_FILES} files")
                _refuse_member(member, files)
                content = tar.extractfile(member)
                files[member.name] = b"" if content is None else content.read(MAX_CHARACTERS)
                if len(files[member.name]) != member.size:
                    raise BundleRefused("not a tar archive, or a broken one")
    except (tarfile.TarError, EOFError, ValueError, OverflowError, OSError) as error:
        raise BundleRefused("not a tar archive, or a broken one") from error
    return list(files.items())


def _decompressed(archive: bytes) -> bytes:
    """At most `MAX_UNPACKED` bytes of one gzip member (RFC 1952), with nothing behind it."""
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        raw = stream.decompress(archive, MAX_UNPACKED + 1)
    except zlib.error as error:
        raise BundleRefused("not compressed with gzip, or broken") from error
    if len(raw) > MAX_UNPACKED:
        raise BundleRefused(f"unpacks to more than {MAX_UNPACKED} bytes")
    if not stream.eof or stream.unused_data:
        raise BundleRefused("is cut off, or has something behind its end")
    return raw


def _refuse_member(member: tarfile.TarInfo, before: dict[str, bytes]) -> None:
    shown = ascii(member.name)[:200]
    if member.type != tarfile.REGTYPE or member.issparse():
        raise BundleRefused(f"{shown}: not a regular file; links, folders and devices have no place in a bundle")
    if not 0 <= member.size <= MAX_CHARACTERS:
        raise BundleRefused(f"{shown}: longer than {MAX_CHARACTERS} bytes")
    if member.name in before:
        raise BundleRefused(f"{shown}: is there twice")
    if member.name == MANIFEST and not before:
        return
    segments = member.name.split("/")
    if not member.name.isprintable() or "\\" in member.name or any(not s or s.startswith(".") for s in segments):
        raise BundleRefused(f"{shown}: not a plain relative path")
    if not member.name.endswith(_SUFFIXES):
        raise BundleRefused(f"{shown}: not a policy file; its name must end in `.yaml` or `.yml`")
