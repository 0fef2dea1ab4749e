"""Keys and archives that tests sign, well-formed or not."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from extauthz.policy.bundle import SIGNATURE_SUFFIX, pack, sign

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
CREATED = "2026-11-21T10:00:00Z"
MANIFEST = {"format": "extauthz-bundle/1", "name": "policies", "version": 1, "created": CREATED}

Member = tuple[str, bytes] | Callable[[tarfile.TarInfo], None]


def public_pem(key: Ed25519PrivateKey = KEY) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: Ed25519PrivateKey = KEY) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def raw_tar(*members: Member, manifest: dict[str, Any] | bytes | None = None) -> bytes:
    """A tar archive: a manifest if one is given, then members by name and content, or made by a function."""
    stream = io.BytesIO()
    first: list[Member] = []
    if manifest is not None:
        first = [("manifest.json", manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode())]
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for member in (*first, *members):
            if callable(member):
                info = tarfile.TarInfo("a.yaml")
                member(info)
                tar.addfile(info)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return stream.getvalue()


def zipped(tar: bytes) -> bytes:
    return gzip.compress(tar, mtime=0)


def good(version: int, text: str, *, name: str = "policies") -> bytes:
    return pack([("site.yaml", text.encode())], name=name, version=version, created=CREATED)


def publish(path: Path, archive: bytes, *, key: Ed25519PrivateKey = KEY) -> None:
    """An archive and its signature, each replaced whole, the signature first."""
    for target, content in ((path.with_name(path.name + SIGNATURE_SUFFIX), sign(archive, key)), (path, archive)):
        beside = target.with_name(target.name + ".new")
        beside.write_bytes(content)
        beside.rename(target)
