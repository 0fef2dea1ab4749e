"""`extauthz bundle` as a person uses it."""

import json
import os
from pathlib import Path

import pytest
from commanding import Ended, command
from serving import POLICY


def run(folder: Path, *arguments: str) -> Ended:
    return command("bundle", *arguments, folder=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies" / "teams").mkdir(parents=True)
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (tmp_path / "policies" / "teams" / "a.yaml").write_text(POLICY.format(path="/a").replace("name: site", "name: a"))
    (tmp_path / "policies" / "README.md").write_text("not packed")
    return tmp_path


def test_keys_are_made_and_bundles_built_and_verified(folder: Path) -> None:
    made = run(folder, "keygen", "--format", "json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout) == {"private": "bundle-private.pem", "public": "bundle-public.pem"}
    assert (folder / "bundle-private.pem").stat().st_mode & 0o777 == 0o600
    again = run(folder, "keygen")
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    build = ("build", "policies", "--key", "bundle-private.pem", "--version", "7", "-o", "p.tar.gz")
    built = run(folder, *build)
    assert built.returncode == 0, built.stderr
    assert "bundle `policies` version 7, 2 files, revision sha256:" in built.stdout
    mask = os.umask(0o077)
    os.umask(mask)
    assert (folder / "p.tar.gz").stat().st_mode & 0o777 == 0o666 & ~mask
    verified = run(folder, "verify", "p.tar.gz", "--key", "bundle-public.pem", "--format", "json")
    said = json.loads(verified.stdout)
    assert (said["version"], said["files"]) == (7, ["site.yaml", "teams/a.yaml"])
    assert said["revision"] in built.stdout

    other = run(folder, "verify", "p.tar.gz", "--key", "bundle-public.pem", "--name", "staging")
    assert (other.returncode, "is the bundle `policies`" in other.stderr) == (1, True)
    (folder / "p.tar.gz").write_bytes((folder / "p.tar.gz").read_bytes() + b"\n")
    tampered = run(folder, "verify", "p.tar.gz", "--key", "bundle-public.pem")
    assert (tampered.returncode, "the signature is not" in tampered.stderr) == (1, True)
    assert "Traceback" not in tampered.stderr


def test_what_would_not_load_is_not_signed(folder: Path) -> None:
    assert run(folder, "keygen").returncode == 0
    (folder / "policies" / "site.yaml").write_text(POLICY.format(path="no slash"))
    build = ("build", "policies", "--key", "bundle-private.pem", "--version", "1", "-o", "p.tar.gz")
    refused = run(folder, *build)
    assert (refused.returncode, "site.yaml:7:" in refused.stderr) == (1, True)
    assert not (folder / "p.tar.gz").exists()
    wrong_name = run(folder, *build, "--name", "Big")
    assert (wrong_name.returncode, "--name: not a name" in wrong_name.stderr) == (2, True)


def test_an_archive_is_put_in_place_after_its_signature(folder: Path) -> None:
    """A server looks for a signature once there is another archive."""
    assert run(folder, "keygen").returncode == 0
    build = ("build", "policies", "--key", "bundle-private.pem", "-o", "p.tar.gz", "--version")
    assert run(folder, *build, "1").returncode == 0
    first, signature = (folder / "p.tar.gz").read_bytes(), folder / "p.tar.gz.sig"
    signature.unlink()
    signature.mkdir()
    failed = run(folder, *build, "2")
    assert failed.stderr == "extauthz: p.tar.gz.sig: can't be written: not a regular file\n"
    assert (folder / "p.tar.gz").read_bytes() == first


def test_the_other_key_of_the_pair_is_told_apart_from_no_key(folder: Path) -> None:
    assert run(folder, "keygen").returncode == 0
    (folder / "some.pem").write_text("-----BEGIN CERTIFICATE-----")
    build = ("build", "policies", "--version", "1", "-o", "p.tar.gz", "--key")
    verify = ("verify", "p.tar.gz", "--key")
    for asked, key, told in (
        (build, "bundle-public.pem", "this is a public key; give the private one"),
        (verify, "bundle-private.pem", "this is a private key; give the public one"),
        (build, "some.pem", "not an unencrypted Ed25519 private key"),
        (verify, "some.pem", "not an Ed25519 public key"),
    ):
        refused = run(folder, *asked, key)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"extauthz: {key}: {told}")
