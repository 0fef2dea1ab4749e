"""Servers that start at the same moment at one address: one serves, and the others say so in a line."""

import asyncio
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from serving import POLICY, Served, command, end

from extauthz.app.envoy_launch import envoy_worker
from extauthz.app.link import Assignment
from extauthz.app.worker import Launch, Worker
from extauthz.errors import ConfigurationError
from extauthz.settings import load_settings
from extauthz.transport import ports, unix_sockets

ENDS_WITHOUT_LISTENING = """
import asyncio
from extauthz.app.in_envoy import application_of_this_process

async def life():
    received = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    told = []

    async def receive():
        return next(received)

    async def send(event):
        told.append(event["type"])

    await application_of_this_process()({"type": "lifespan"}, receive, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

asyncio.run(life())
"""
"""What an Envoy has pyvoy do that binds its listener after the start of the application, and can't."""


def write(folder: Path, grpc: str) -> Path:
    """A folder to serve from at this address."""
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (folder / "extauthz.yaml").write_text(
        f'listen: {{grpc: "{grpc}", web: "127.0.0.1:0", admin: "127.0.0.1:0"}}\npolicies: [policies/]\n'
    )
    return folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("transports", "kind"),
    [
        (("pyvoy", "pyvoy"), "unix"),
        (("grpcio", "pyvoy"), "tcp"),
        pytest.param(("pyvoy", "pyvoy"), "tcp", marks=pytest.mark.long),
        pytest.param(("grpcio", "pyvoy"), "unix", marks=pytest.mark.long),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_of_two_that_start_at_once_one_serves_and_the_other_says_why_not(
    tmp_path: Path, transports: tuple[str, str], kind: str
) -> None:
    path = tmp_path / "grpc.sock"
    address = f"unix:{path}" if kind == "unix" else f"127.0.0.1:{free_port()}"
    starting = [
        Served(
            subprocess.Popen(command(folder, transport), stderr=subprocess.PIPE, text=True),
            folder,
            {"grpc": address},
            [],
        )
        for number, transport in enumerate(transports)
        for folder in [write(tmp_path / str(number), address)]
    ]
    try:
        refused, served = _refused_first(starting)
        told = refused.process.communicate(timeout=60)[1]
        assert refused.process.returncode == 1
        # An Envoy that was about to listen logs it, too.
        (line,) = [line for line in told.splitlines() if not line.startswith("{")]
        assert line.startswith(f"extauthz: listen.grpc: can't listen on `{address}`: address already in use")
        served.said = served.next_event("serving")
        assert served.allows("/one")
        assert path.exists() is (kind == "unix")
    finally:
        for one in starting:
            end(one)


def _refused_first(starting: list[Served]) -> tuple[Served, Served]:
    """The one that has ended, and the other one, which serves or will."""
    ended: list[Served] = []
    over = threading.Event()

    def wait(one: Served) -> None:
        one.process.wait()
        ended.append(one)
        over.set()

    for one in starting:
        threading.Thread(target=wait, args=(one,), daemon=True).start()
    assert over.wait(60), "both serve, or neither has ended"
    (other,) = (one for one in starting if one is not ended[0])
    return ended[0], other


def test_an_envoy_that_can_not_listen_is_told_of_and_ends(tmp_path: Path) -> None:
    """Whoever asks for no name of a port can take it at any moment."""
    address = f"127.0.0.1:{free_port()}"
    folder = write(tmp_path / "site", address)

    async def scene() -> str:
        worker = Worker(
            Launch(
                command=(sys.executable, "-c", ENDS_WITHOUT_LISTENING),
                environ=os.environ,
                folder=folder,
                clean_up=lambda: None,
            ),
            Assignment(
                settings=load_settings(folder / "extauthz.yaml"),
                admin=tmp_path / "nobody" / "admin.sock",
                environ=dict(os.environ),
                executable=sys.executable,
                number=None,
            ),
        )
        await worker.start(worker.begin)
        worker.begin()
        with pytest.raises(ConfigurationError) as caught:
            await worker.serves()
        return str(caught.value)

    told = asyncio.run(scene())
    assert told == f"listen.grpc: can't listen on `{address}`; is it in use, or not an address of this machine?"


def test_an_envoy_listens_at_addresses_and_not_at_names(tmp_path: Path) -> None:
    folder = write(tmp_path / "site", "localhost:9191")
    settings = load_settings(folder / "extauthz.yaml")
    with pytest.raises(ConfigurationError, match=r"^listen\.grpc: `localhost` is a name; .* such as `127\.0\.0\.1`$"):
        envoy_worker(settings, {}, None)


def test_who_has_a_port_is_waited_for_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PATIENCE", 0.2)
    port, entered = free_port(), threading.Event()

    def second() -> None:
        with ports.alone(port):
            entered.set()

    with ports.alone(port):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.05)
        assert entered.wait(30)
    thread.join()
    with ports.alone(port):  # it is given back
        pass


def test_what_is_cleared_away_is_dead_and_of_nobody_who_is_about_to_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_sockets, "PATIENCE", 0.1)
    path = tmp_path / "grpc.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        with unix_sockets.Sockets(mode=0o660).reserved(f"unix:{tmp_path / 'other.sock'}", key="listen.web"):
            unix_sockets.clear(path)
            assert path.exists()  # somebody is about to listen in this folder
        bound.listen()
        unix_sockets.clear(path)
        assert path.exists()
        assert select.select([bound], [], [], 0)[0]  # it was asked
    unix_sockets.clear(path)
    assert not path.exists()
    unix_sockets.clear(path)
