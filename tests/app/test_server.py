"""The server as a process: start, probes, reload, stop, and what it says when it can't."""

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import httpx
import pytest
from hardening import starting
from serving import POLICY, Serve, command, end, on_one_transport, start

from extauthz.app.key_file import make_keys
from extauthz.policy import decide


def test_it_serves_checks_probes_and_pages_and_stops_cleanly(serve: Serve) -> None:
    served = serve()
    assert served.allows("/one")
    assert not served.allows("/two")
    assert served.probe("/live").json() == {"live": True}
    ready = served.probe("/ready")
    assert (ready.status_code, ready.json()["revision"]) == (200, served.said["revision"])
    assert httpx.get(f"http://{served.said['web']}/.extauthz/challenge").status_code == 400
    assert served.said["compiled"] is (not decide.__file__.endswith(".py"))
    served.process.send_signal(signal.SIGTERM)
    served.next_event("stopped")
    assert served.process.wait(10) == 0
    assert [one["event"] for one in served.heard if one["level"] == "info"] == ["serving", "stopped"]


def test_a_signal_that_replaces_workers_is_refused_where_there_are_none(folder: Path) -> None:
    served = start(folder)
    try:
        served.process.send_signal(signal.SIGUSR2)
        assert "SIGHUP reads policies and keys again" in served.next_event("renewal-refused")["error"]
        assert served.allows("/one")
    finally:
        end(served)


def refused_start(folder: Path, transport: str, **environ: str) -> str:
    """The one line of a start that must fail; of one without an Envoy in the process of the tests."""
    if transport == "grpcio":
        return starting.refused_start(folder, {**os.environ, **environ}, serve=True)
    return ended_start(folder, transport, **environ).removeprefix("extauthz: ").removesuffix("\n")


def ended_start(folder: Path, transport: str, **environ: str) -> str:
    """What a process says that must end with 1, without a traceback, and say nothing to programs."""
    ended = subprocess.run(
        command(folder, transport),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, **environ},
    )
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_policy_with_an_error_stops_the_start_with_its_place(folder: Path, transport: str) -> None:
    (folder / "policies" / "site.yaml").write_text(POLICY.format(path="/one").replace("allow}", "allow, when: 1 +}"))
    assert "policies/site.yaml:7:" in ended_start(folder, transport)


@pytest.mark.parametrize("listen", ["grpc", "web", "admin"])  # on a busy machine there is no time for three
def test_an_address_in_use_stops_the_start(folder: Path, transport: str, listen: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused_start(folder, transport, **{f"EXTAUTHZ_LISTEN__{listen.upper()}": address})
        assert said.startswith(f"listen.{listen}: can't listen on `{address}`")
        assert "\n" not in said, "it is told in one line"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("EXTAUTHZ_STORE", "mysql://x", "store: `mysql://x` is no address of a store"),
        ("EXTAUTHZ_STORE", "sqlite:////nowhere/at/all.db", "store: the folder `/nowhere/at` is not there; make it"),
        ("EXTAUTHZ_POLICIES", '["missing/"]', "missing"),
        ("EXTAUTHZ_KEYS", "/nowhere/keys.json", "can't write the key file"),
    ],
)
def test_what_can_not_be_used_stops_the_start(folder: Path, variable: str, value: str, message: str) -> None:
    assert message in starting.refused_start(folder, {**os.environ, variable: value})


@on_one_transport
def test_keys_are_made_once_for_their_owner_alone(serve: Serve, folder: Path) -> None:
    serve()
    keys = folder / "keys.json"
    assert keys.stat().st_mode & 0o777 == 0o600
    made = keys.read_text()
    serve()
    assert keys.read_text() == made


@on_one_transport
@pytest.mark.parametrize(("mode", "warned"), [(0o600, []), (0o640, ["0640"]), (0o604, ["0604"])])
def test_secrets_that_others_can_read_are_warned_of(serve: Serve, folder: Path, mode: int, warned: list[str]) -> None:
    keys = folder / "keys.json"
    make_keys(keys, replace=False)
    keys.chmod(mode)
    warnings = [line for line in serve().heard if line["event"] == "key-file-exposed"]
    assert [line["mode"] for line in warnings] == warned
    assert all((line["level"], line["path"]) == ("warning", str(keys)) for line in warnings)


@pytest.mark.parametrize("transport", ["grpcio", pytest.param("pyvoy", marks=pytest.mark.long)])
def test_a_second_start_on_the_same_unix_sockets_leaves_the_first_alone(
    serve: Serve, folder: Path, transport: str
) -> None:
    sockets = {name: folder / f"{name}.sock" for name in ("grpc", "web", "admin")}
    listen = ", ".join(f"{name}: 'unix:{path}'" for name, path in sockets.items())
    (folder / "extauthz.yaml").write_text(f"listen: {{{listen}}}\npolicies: [policies/]\n")
    first = serve()
    for path in sockets.values():
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    for name in sockets:
        free = {f"EXTAUTHZ_LISTEN__{other.upper()}": "127.0.0.1:0" for other in sockets if other != name}
        said = refused_start(folder, transport, **free)
        assert said.startswith(f"listen.{name}: can't listen on `unix:")
        assert "\n" not in said, "it is told in one line"
    assert first.allows("/one")
    assert all(path.exists() for path in sockets.values())
    first.process.kill()
    first.process.wait()
    second = serve()
    assert second.allows("/one")
