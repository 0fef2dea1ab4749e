"""What stands where a file should be: nobody waits for it, and nobody reads it for ever."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from extauthz.errors import ConfigurationError
from extauthz.lookup.files import open_file, read_text
from extauthz.lookup.peers import Peer, read_secret


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


PLACES: list[Callable[[Path], None]] = [os.mkfifo, Path.mkdir, _device, _socket]


@pytest.fixture(params=PLACES, ids=["pipe", "folder", "device", "socket"])
def odd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something else than a file. The path is short: that of a socket has to be."""
    monkeypatch.chdir(tmp_path)
    path = Path("odd")
    request.param(path)
    return path


def test_a_secret_is_read_from_files_only(odd: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^odd: can't read the secret: "):
        read_secret(odd)


def test_authorities_are_read_from_files_only(odd: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^odd: can't read the authorities: "):
        Peer(ca=odd)


def test_texts_are_read_from_files_only(odd: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^odd: can't read the key file: "):
        read_text(odd, "key file")


def test_what_is_no_text_is_told_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError) as told:
        read_text(path, "keys of `idp`")
    assert str(told.value) == f"{path}: can't read the keys of `idp`: not UTF-8 text"


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with open_file(tmp_path / "link") as stream:
        assert stream.read() == b"content"
