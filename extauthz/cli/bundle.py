"""`extauthz bundle …`: make signing keys, build signed archives of policies, and see whether one would be accepted.

The rule: nothing is signed that would not load. A private key is written for its owner alone, and never over another.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from extauthz.cli.policy_options import Format, FormatOption, print_json
from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import open_file, write_whole
from extauthz.policy.bundle import (
    SIGNATURE_SUFFIX,
    Bundle,
    BundleRefused,
    bundle_name,
    open_bundle,
    pack,
    private_key,
    public_key,
    sign,
)
from extauthz.policy.load import load, policy_files
from extauthz.values.counting import counted

_T = TypeVar("_T")

app = typer.Typer(name="bundle", no_args_is_help=True, help="Signed archives of policies.")

NameOption = Annotated[str, typer.Option("--name", help="The bundle's name, as in the servers' configuration.")]


@app.command(short_help="Make a pair of Ed25519 keys.")
def keygen(
    private: Annotated[Path, typer.Option(help="Where the private key goes: keep it secret.")] = Path(
        "bundle-private.pem"
    ),
    public: Annotated[Path, typer.Option(help="Where the public key goes: the servers get it.")] = Path(
        "bundle-public.pem"
    ),
    output_format: FormatOption = "text",
) -> None:
    """Make a pair of Ed25519 keys; files that are there are not overwritten."""
    key = Ed25519PrivateKey.generate()
    _write_new(
        private,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        mode=0o600,
    )
    _write_new(
        public,
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        mode=0o644,
    )
    if output_format == "json":
        print_json({"private": str(private), "public": str(public)})
    else:
        typer.echo(f"{private}: the private key, to sign with\n{public}: the public key, for the servers")


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of policies.", file_okay=False)],
    key: Annotated[Path, typer.Option(help="The private key.", dir_okay=False)],
    version: Annotated[int, typer.Option(help="Greater than that of every bundle before.", min=1)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The archive; its signature goes beside it.")],
    name: NameOption = "policies",
    output_format: FormatOption = "text",
) -> None:
    """Check the policies, pack them, and sign the archive."""
    _check_name(name)
    signing = _named(key, lambda: private_key(_read(key)))
    policies = load([folder])
    files = [(path.relative_to(folder).as_posix(), _read(path)) for path in policy_files([folder])]
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    archive = pack(files, name=name, version=version, created=created)
    signature = sign(archive, signing)
    # A server that follows a URL asks for the signature of another archive alone: it must be there by then.
    _write(_signature_of(output), signature)
    _write(output, archive)
    bundle = open_bundle(archive, signature, key=signing.public_key(), name=name)
    _tell(bundle, output, policies.revision, output_format)


@app.command(short_help="Verify an archive, and load its policies.")
def verify(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="The archive.", dir_okay=False)],
    key: Annotated[Path, typer.Option(help="The public key.", dir_okay=False)],
    name: NameOption = "policies",
    output_format: FormatOption = "text",
) -> None:
    """Verify an archive's signature and load its policies; exit with 1 if a server would not use it."""
    _check_name(name)
    verifying = _named(key, lambda: public_key(_read(key)))
    content, signature = _read(archive), _read(_signature_of(archive))
    bundle = _named(archive, lambda: open_bundle(content, signature, key=verifying, name=name))
    policies = load([], unpacked=bundle.places)
    _tell(bundle, archive, policies.revision, output_format)


def _tell(bundle: Bundle, path: Path, revision: str, output_format: Format) -> None:
    if output_format == "json":
        said = {
            "file": str(path),
            "name": bundle.name,
            "version": bundle.version,
            "created": bundle.created,
            "files": [name for name, _ in bundle.files],
            "sha256": bundle.sha256,
            "revision": revision,
        }
        print_json(said)
    else:
        files = counted(len(bundle.files), "file")
        typer.echo(f"{path}: bundle `{bundle.name}` version {bundle.version}, {files}, revision {revision}")


def _signature_of(path: Path) -> Path:
    return path.with_name(path.name + SIGNATURE_SUFFIX)


def _check_name(name: str) -> None:
    try:
        bundle_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--name") from None


def _named(path: Path, work: Callable[[], _T]) -> _T:
    try:
        return work()
    except BundleRefused as error:
        raise BundleRefused(f"{path}: {error}") from error


def _read(path: Path) -> bytes:
    try:
        with open_file(path) as stream:
            return stream.read()
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {failure_of(error)}") from error


def _write(path: Path, content: bytes) -> None:
    """Whole, or not at all: a server may fetch it in this moment, and a disk may be full."""
    try:
        write_whole(path, content, mode=0o666 & ~_umask())
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be written: {failure_of(error)}") from error


def _umask() -> int:
    """What of a mode the user of the command wants nobody to have; the system tells it to who sets it alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
    except FileExistsError as error:
        raise ConfigurationError(f"{path}: is there already; name another file, or remove it yourself") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be written: {failure_of(error)}") from error
