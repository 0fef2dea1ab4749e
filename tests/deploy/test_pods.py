"""The server starts with exactly the files, command, variables and rights that the manifests of deploy/kubernetes give
it, follows what the kubelet swaps, and goes when it is told to."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deploy.namespaces import require_namespaces
from deploy.pods import Pod, documents, mount_files, of_kind, running_pod
from deploy.tools import ROOT
from redises import RedisProcess

from extauthz.app.key_file import add_key, make_keys
from extauthz.cli.quickstart.certificates import create_authority
from extauthz.settings import load_settings

MANIFESTS = ROOT / "deploy" / "kubernetes"
EXTAUTHZ = Path(sys.executable).parent / "extauthz"
ASKING = Path(__file__).parent / "asking.py"
GATEWAY = "spiffe://prod.example.org/ns/mesh/sa/gateway"
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: other, methods: [GET], paths: ["/other/**"], effect: allow}
"""


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    require_namespaces()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys.json", replace=False)
    return tmp_path / "keys.json"


def allowed(pod: Pod, *paths: str) -> set[str]:
    """Those of the paths that are."""
    answered = pod.run(sys.executable, ASKING, "localhost:9191", *paths)
    assert answered.returncode == 0, answered.stderr
    codes: Mapping[str, int] = json.loads(answered.stdout)
    return {path for path, code in codes.items() if code == 0}


def probed(pod: Pod) -> tuple[int, int]:
    """The exit code of `extauthz health`, and the status of `/ready`."""
    return pod.run(EXTAUTHZ, "health", "127.0.0.1:9191").returncode, pod.get("/ready")[0]


def test_two_servers_manifest_runs_and_follows_what_the_kubelet_swaps(tmp_path: Path, keys: Path) -> None:
    objects = documents((MANIFESTS / "extauthz.yaml").read_text())
    with RedisProcess(tmp_path / "redis", "--unixsocketperm", "777") as redis:
        redis.start()
        tmp_path.chmod(0o755)
        secrets = {
            "extauthz-keys": {"keys.json": keys.read_text()},
            "extauthz-redis": {"url": "redis+unix:///run/redis/redis.sock"},
        }
        with running_pod(tmp_path / "pod", objects, secrets, beside={redis.folder: "/run/redis"}) as pod:
            first = pod.next_event("serving")
            assert first["grpc"] == "0.0.0.0:9191"
            assert probed(pod) == (0, 200)
            assert allowed(pod, "/public/a", "/other/a") == {"/public/a"}

            mount_files(pod.volumes / "policies", {"site.yaml": POLICY}, generation=2)
            reloaded = pod.next_event("reloaded")
            assert reloaded["revision"] != first["revision"]
            assert allowed(pod, "/public/a", "/other/a") == {"/other/a"}

            key = add_key(keys, after=0)
            mount_files(pod.volumes / "keys", {"keys.json": keys.read_text()}, generation=2, mode=0o400)
            assert key.kid in json.dumps(pod.next_event("keys-turned"))
            assert pod.stop() == 0
    # A busy machine may think for a moment that Redis is away.
    assert pod.warned() - {"store-unavailable"} == set(), "only the server's group reads the Secret"


def test_one_server_makes_its_state_on_the_volume(tmp_path: Path) -> None:
    objects = documents((MANIFESTS / "single.yaml").read_text())
    with running_pod(tmp_path / "pod", objects, {}) as pod:
        pod.next_event("serving")
        assert probed(pod) == (0, 200)
        assert allowed(pod, "/public/a", "/v1/a") == {"/public/a"}
        state = pod.volumes / "state"
        made = {path.name: path.stat() for path in state.iterdir()}
        assert {"extauthz.db", "keys.json"} <= set(made)
        assert {(found.st_uid, found.st_mode & 0o077) for found in made.values() if found.st_size} == {(65532, 0)}
        assert pod.stop() == 0
    assert not pod.warned()


def test_a_user_whom_the_platform_chooses_can_run_it(tmp_path: Path, keys: Path) -> None:
    """As OpenShift does where a manifest names none: a number that nobody knows, in the group of root."""
    objects = documents((MANIFESTS / "extauthz.yaml").read_text())
    context = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["securityContext"]
    context |= {"runAsUser": 1000660000, "runAsGroup": 0, "fsGroup": 1000660000}
    secrets = {
        "extauthz-keys": {"keys.json": keys.read_text()},
        "extauthz-redis": {"url": "redis+unix:///run/redis/redis.sock"},
    }
    with RedisProcess(tmp_path / "redis", "--unixsocketperm", "777") as redis:
        redis.start()
        tmp_path.chmod(0o755)
        with running_pod(tmp_path / "pod", objects, secrets, beside={redis.folder: "/run/redis"}) as pod:
            pod.next_event("serving")
            assert probed(pod) == (0, 200)
            assert allowed(pod, "/public/a", "/other/a") == {"/public/a"}
            assert pod.stop() == 0
    assert pod.warned() - {"store-unavailable"} == set()


def test_with_mutual_tls_only_the_gateway_is_answered(
    tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = documents((MANIFESTS / "mtls.yaml").read_text())
    authority = create_authority(tmp_path / "ca.pem", common_name="test", now=datetime.now(UTC))
    server = authority.issue_server(tmp_path / "server")
    gateway = authority.issue_workload(tmp_path / "gateway", GATEWAY)
    other = authority.issue_workload(tmp_path / "other", GATEWAY + "2")
    secrets: dict[str, dict[str, str | bytes]] = {
        "extauthz-keys": {"keys.json": keys.read_text()},
        "extauthz-redis": {"url": "redis+unix:///run/redis/redis.sock"},
        "extauthz-tls": {
            "tls.crt": server.certificate.read_bytes(),
            "tls.key": server.key.read_bytes(),
            "ca.crt": authority.certificate.read_bytes(),
        },
    }
    with RedisProcess(tmp_path / "redis", "--unixsocketperm", "777") as redis:
        redis.start()
        with running_pod(tmp_path / "pod", objects, secrets, beside={redis.folder: "/run/redis"}) as pod:
            pod.next_event("serving")
            assert (pod.get("/live")[0], pod.get("/ready")[0]) == (200, 200)
            for caller, answered in ((gateway, True), (other, False)):
                monkeypatch.setenv("CALLER", str(caller.certificate.with_suffix("")))
                said = pod.run(sys.executable, ASKING, "localhost:9191", "/public/a")
                assert (said.returncode == 0) is answered, said.stderr
            assert pod.stop() == 0


@pytest.mark.parametrize("variant", ["extauthz", "mtls", "single"])
def test_the_settings_are_read_by_the_loader(variant: str, tmp_path: Path) -> None:
    """Also where there are no namespaces."""
    objects = documents((MANIFESTS / f"{variant}.yaml").read_text())
    path = tmp_path / "extauthz.yaml"
    path.write_text(of_kind(objects, "ConfigMap", "extauthz")["data"]["extauthz.yaml"])
    settings = load_settings(path)
    assert settings.listen.admin == "0.0.0.0:9193"
    assert (settings.listen.tls is not None) is (variant == "mtls")
