"""Starts that are refused by the real command: exit code 1, one line that names the setting, and nothing else."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hardening.starting import NOBODY, as_nobody, refusal
from serving import POLICY, command

LISTENERS = ("grpc", "web", "admin", "approvals")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A configuration in a folder with a short name, that other users can reach."""
    made = Path(tempfile.mkdtemp(prefix="starts-"))
    made.chmod(0o755)
    (made / "policies").mkdir()
    (made / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    listen = dict.fromkeys(LISTENERS, "127.0.0.1:0")
    configure(made, listen=listen, approvals={"url": "https://approvals.example.com"}, store="memory:")
    yield made
    shutil.rmtree(made)


def configure(folder: Path, **settings: object) -> None:
    path = folder / "extauthz.yaml"
    before = json.loads(path.read_text()) if path.exists() else {"policies": ["policies/"]}
    path.write_text(json.dumps({**before, **settings}))


def refused(folder: Path, transport: str, **environ: str) -> str:
    """The one line of a start that is refused."""
    ended = subprocess.run(
        command(folder, transport),
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.startswith("extauthz: "), ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr.removeprefix("extauthz: ").rstrip("\n")


def test_an_address_of_approvals_in_use_is_told_in_one_line(folder: Path) -> None:
    """`tests/app/test_server.py` shows it of the other listeners, as ports and as sockets."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "taken.sock"))
        other.listen()
        address = f"unix:{folder}/taken.sock"
        said = refused(folder, "grpcio", EXTAUTHZ_LISTEN__APPROVALS=address)
    assert said.startswith(f"listen.approvals: can't listen on `{address}`")


def test_a_socket_where_others_can_write_is_told_in_one_line(folder: Path, transport: str) -> None:
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    said = refused(folder, transport, EXTAUTHZ_LISTEN__GRPC=f"unix:{shared}/grpc.sock")
    place = f"listen.grpc: can't listen on `unix:{shared}/grpc.sock`: others can write in `{shared}` (mode 0777)"
    assert said == f"{place}, and so take the server's place; chmod 750"
    (folder / "policies" / "site.yaml").chmod(0o666)
    said = refused(folder, transport)
    assert said.startswith(f"policies: everybody can write `{folder}/policies/site.yaml` (mode 0666)")


PLACES = [
    ({"store": "sqlite:///{place}/state.db"}, "store: "),
    ({"keys": "{place}/keys.json"}, "can't write the key file: "),
    ({"audit": {"path": "{place}/audit.jsonl"}}, "audit"),
]
"""What a server makes, and how a message about it begins or goes on."""


@pytest.mark.parametrize(("settings", "said"), PLACES, ids=["store", "keys", "audit"])
def test_what_can_not_be_made_is_told_in_one_line(folder: Path, settings: dict[str, object], said: str) -> None:
    """In a folder that is not there, and in one where nothing may be written."""
    (folder / "closed").mkdir()
    configure(folder, store="sqlite:///state.db")
    assert refusal(folder / "extauthz.yaml", {}) is None  # and all that is imported late was
    (folder / "keys.json").unlink()
    if os.geteuid() == 0:
        for one in (folder, *folder.rglob("*")):
            os.chown(one, NOBODY, NOBODY)
    (folder / "closed").chmod(0o555)
    for place in ("missing", "closed"):
        configure(folder, **{"store": "memory:", **json.loads(json.dumps(settings).replace("{place}", place))})
        with as_nobody():
            found = refusal(folder / "extauthz.yaml", {})
        assert found is not None, place
        assert said in found
        assert place in found
        assert "\n" not in found


@as_root
def test_a_disk_without_room_is_told_in_one_line(folder: Path) -> None:
    full = folder / "full"
    full.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", full], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        with (full / "filling").open("wb", buffering=0) as filling:
            while filling.tell() < 64 * 1024:
                filling.write(b"x" * 4096)
        for settings, said in PLACES[:2]:
            configure(folder, **{"store": "memory:", **json.loads(json.dumps(settings).replace("{place}", "full"))})
            found = refusal(folder / "extauthz.yaml", {})
            assert found is not None
            assert said in found
            assert "no space left on device" in found or "full" in found
            assert "\n" not in found
    finally:
        subprocess.run(["umount", full], check=True)


def test_a_configuration_that_may_not_be_read_is_told_in_one_line(folder: Path) -> None:
    config = folder / "extauthz.yaml"
    assert refusal(config, {}) is None
    config.chmod(0)
    with as_nobody():
        assert refusal(config, {}) == f"{config}: can't read the configuration: permission denied"
