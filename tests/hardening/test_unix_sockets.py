"""Where Unix sockets may be: who could put another one in their place, and what is there already."""

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import POLICY, end, start

from extauthz.errors import ConfigurationError
from extauthz.transport.unix_sockets import LONGEST, MODE, Sockets, _alone, make_way

NOBODY = 65_534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder that is ours alone, in another one."""
    folder = tmp_path / "run" / "extauthz"
    folder.mkdir(parents=True, mode=0o750)
    (tmp_path / "run").chmod(0o755)
    return folder


@pytest.fixture
def listening() -> Iterator[Callable[[Path], None]]:
    """Listens on paths, until the end."""
    sockets: list[socket.socket] = []

    def listen(path: Path) -> None:
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].bind(str(path))
        sockets[-1].listen()

    yield listen
    for one in sockets:
        one.close()


def refusal(path: Path, *, shared_folder: bool = False) -> str | None:
    """Why there may be no socket at `path`; `None` if it may be."""
    try:
        Sockets(mode=MODE, shared_folder=shared_folder).take(path, key="listen.grpc")
    except ConfigurationError as error:
        message = str(error)
        assert message.startswith("listen.grpc: ")
        assert "\n" not in message
        return message
    return None


@pytest.mark.parametrize(
    ("folder_mode", "parent_mode", "said"),
    [
        (0o700, 0o755, None),
        (0o750, 0o755, None),
        (0o770, 0o775, None),  # a group that we are in
        (0o777, 0o755, "others can write in `{folder}` (mode 0777)"),
        (0o1777, 0o755, "others can write in `{folder}` (mode 1777)"),  # whoever is there first when we are gone
        (0o702, 0o755, "others can write in `{folder}` (mode 0702)"),
        (0o700, 0o777, "others can write in `{parent}` (mode 0777)"),
        (0o700, 0o1777, None),  # nobody can rename what is ours
    ],
)
def test_others_must_not_be_able_to_take_the_place(
    home: Path, folder_mode: int, parent_mode: int, said: str | None
) -> None:
    home.chmod(folder_mode)
    home.parent.chmod(parent_mode)
    found = refusal(home / "grpc.sock")
    if said is None:
        assert found is None
    else:
        assert said.format(folder=home, parent=home.parent) in (found or "")


@as_root
@pytest.mark.parametrize(
    ("owner", "group", "mode", "said"),
    [
        (0, 0, 0o755, None),
        (NOBODY, 0, 0o700, "belongs to another user (uid 65534)"),
        (0, 4_242, 0o770, "a group that this user is not in (gid 4242) can write"),
        (0, 4_242, 0o750, None),
    ],
)
@pytest.mark.parametrize("which", ["folder", "parent"])
def test_owner_and_group_are_ours(home: Path, owner: int, group: int, mode: int, said: str | None, which: str) -> None:
    changed = home if which == "folder" else home.parent
    os.chown(changed, owner, group)
    changed.chmod(mode)
    found = refusal(home / "grpc.sock")
    assert found is None if said is None else said in (found or "") and f"`{changed}`" in (found or "")


def test_folders_that_links_lead_through_are_looked_at(home: Path, tmp_path: Path) -> None:
    """Whoever can write where a link is can let it lead elsewhere, also one that another link leads to."""
    exposed = tmp_path / "exposed"
    exposed.mkdir()
    (exposed / "second").symlink_to(home)
    (tmp_path / "first").symlink_to("exposed/second")
    assert refusal(tmp_path / "first" / "grpc.sock") is None
    exposed.chmod(0o777)
    assert f"others can write in `{exposed}`" in (refusal(tmp_path / "first" / "grpc.sock") or "")
    (tmp_path / "ring").symlink_to("ring")
    assert "too many levels of symbolic links" in (refusal(tmp_path / "ring" / "grpc.sock") or "")


def test_a_folder_that_is_shared_on_purpose_is_taken(home: Path) -> None:
    home.chmod(0o777)
    assert refusal(home / "grpc.sock", shared_folder=True) is None
    home.parent.chmod(0o777)
    assert f"`{home.parent}`" in (refusal(home / "grpc.sock", shared_folder=True) or "")


def test_what_is_no_dead_socket_stays(home: Path, listening: Callable[[Path], None]) -> None:
    path = home / "grpc.sock"
    listening(path)
    assert "address already in use" in (refusal(path) or "")
    path.unlink()
    path.write_text("mine")
    assert "something that is no socket is there; remove it" in (refusal(path) or "")
    assert path.read_text() == "mine"
    path.unlink()
    path.mkdir()
    assert "a folder is there; remove it" in (refusal(path) or "")
    path.rmdir()
    path.symlink_to(home / "elsewhere.sock")
    assert "a link is there; remove it" in (refusal(path) or "")
    assert path.is_symlink()


def test_a_dead_socket_is_removed(home: Path) -> None:
    path = home / "grpc.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert stat.S_ISSOCK(path.lstat().st_mode)
    assert refusal(path) is None
    assert not path.exists()
    make_way(path)  # nothing there is nothing to do


def test_a_path_that_can_be_none_is_refused(home: Path) -> None:
    long = home / ("x" * LONGEST)
    assert "longer than" in (refusal(long) or "")
    assert f"there is no folder `{home / 'missing'}`; make it" in (refusal(home / "missing" / "grpc.sock") or "")
    (home / "file").write_text("")
    assert f"`{home / 'file'}` is no folder" in (refusal(home / "file" / "grpc.sock") or "")


def test_nobody_connects_before_the_socket_has_its_mode(home: Path) -> None:
    path = home / "grpc.sock"
    before = os.umask(0)
    try:
        with Sockets(mode=0o600).around(f"unix:{path}", key="listen.grpc"), socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        assert os.umask(before) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_listener_has_the_mode_that_is_set(home: Path, transport: str) -> None:
    sockets = {name: home / f"{name[:3]}{name[-1]}.sock" for name in ("grpc", "web", "admin", "approvals")}
    listen = ", ".join(f"{name}: 'unix:{path}'" for name, path in sockets.items())
    (home / "policies").mkdir()
    (home / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (home / "extauthz.yaml").write_text(
        f'listen: {{{listen}, sockets: {{mode: "0600"}}}}\npolicies: [policies/]\nstore: "memory:"\n'
        "approvals: {url: 'https://approvals.example.com',"
        " login: {issuer: 'https://idp.example.com', client_id: x, groups_claim: g}}\n"
    )
    served = start(home, transport)
    try:
        assert {name: stat.S_IMODE(path.stat().st_mode) for name, path in sockets.items()} == dict.fromkeys(
            sockets, 0o600
        )
    finally:
        end(served)


def test_a_server_that_starts_waits_until_another_one_has_bound_its_socket(home: Path) -> None:
    """Else it takes what is not listened on yet for dead, and removes it."""
    path = home / "grpc.sock"
    with _alone(home):
        first = socket.socket(socket.AF_UNIX)
        first.bind(str(path))
        refused: list[str] = []

        def second() -> None:
            try:
                with Sockets(mode=MODE).around(f"unix:{path}", key="listen.grpc"):
                    pass
            except ConfigurationError as error:
                refused.append(str(error))

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        assert path.exists()
        first.listen()
    thread.join(10)
    first.close()
    assert refused == [f"listen.grpc: can't listen on `unix:{path}`: address already in use"]


@as_root
def test_a_link_of_somebody_else_on_the_way_is_refused(home: Path, tmp_path: Path) -> None:
    """In a sticky folder he can let it lead elsewhere when he likes."""
    common = tmp_path / "common"
    common.mkdir()
    common.chmod(0o1777)
    link = common / "run"
    link.symlink_to(home)
    assert refusal(link / "grpc.sock") is None
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    assert f"the link `{link}` belongs to another user (uid {NOBODY})" in (refusal(link / "grpc.sock") or "")
