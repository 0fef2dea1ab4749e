"""What stands where a file should be: nobody waits for it, and nobody reads it for ever."""

import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from extauthz.app.fetching import Fetcher
from extauthz.errors import ConfigurationError
from extauthz.files import open_file, read_text, write_whole
from extauthz.lookup.peers import Peer, read_secret
from extauthz.lookup.trust import Trust


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


def test_authorities_of_the_environment_are_read_from_files_only(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(odd))
    for connect in (Trust().context, Fetcher):
        with pytest.raises(ConfigurationError, match=r"^SSL_CERT_FILE: odd: can't read the authorities: "):
            connect()


def test_authorities_of_the_environment_are_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("none")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(ConfigurationError, match=r"^SSL_CERT_FILE: .*ca\.pem: holds no certificates"):
        Trust().context()


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


@pytest.fixture
def full() -> Iterator[None]:
    """No file gets longer than a hundred bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full")
def test_what_can_not_be_written_whole_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    write_whole(path, b"before")
    with pytest.raises(OSError, match="File too large"):
        write_whole(path, b"x" * 101)
    assert path.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["archive"]


def test_a_file_is_replaced_only_where_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    write_whole(path, b"first", replace=False)
    with pytest.raises(FileExistsError):
        write_whole(path, b"second", replace=False)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"first", 0o600)
    write_whole(path, b"third", mode=0o644)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"third", 0o644)
    assert [one.name for one in tmp_path.iterdir()] == ["keys"]


@pytest.mark.parametrize("name", ["pipe", "link"])
def test_a_pipe_keeps_its_place(tmp_path: Path, name: str) -> None:
    # No device: if this fails as root the machine has one less.
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("pipe")
    with pytest.raises(OSError, match="not a regular file"):
        write_whole(tmp_path / name, b"content")
    assert (pipe.is_fifo(), link.is_symlink()) == (True, True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("there", [True, False], ids=["file", "nothing"])
def test_a_file_is_replaced_where_links_lead(tmp_path: Path, there: bool) -> None:
    (tmp_path / "behind").mkdir()
    file, link = tmp_path / "behind" / "file", tmp_path / "link"
    link.symlink_to("behind/file")
    if there:
        file.write_bytes(b"before")
    write_whole(link, b"after")
    assert (link.is_symlink(), file.is_symlink(), file.read_bytes()) == (True, False, b"after")
    assert [one.name for one in file.parent.iterdir()] == ["file"]
