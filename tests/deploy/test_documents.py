"""docs/kubernetes.md, docs/docker.md and the chart's part in docs/istio.md: commands and files in them are those of the
chart, the image and the CLI."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from commanding import command
from deploy.dockerfiles import read_dockerfile
from deploy.pods import documents, of_kind
from deploy.tools import ROOT, find_helm
from jsonschema import Draft7Validator

from deploy.render import CHART, KUBERNETES, MANIFESTS, variants
from extauthz.settings import load_settings

PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("kubernetes", "docker", "istio", "gateway-api")}


def blocks(page: str) -> list[tuple[str, str]]:
    """What is said after each opening fence of the page, and what is between it and the next fence."""
    parts = re.split(r"^```(.*)\n", PAGES[page], flags=re.MULTILINE)
    return list(zip(parts[1::4], parts[2::4], strict=True))


def commands(page: str, program: str) -> list[list[str]]:
    """The words of every command line of this program in the page's blocks."""
    found = []
    for block in (text for kind, text in blocks(page) if not kind):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r" \| | && ", line):
                words = shlex.split(part, comments=True)
                if words and words[0] == program:
                    found.append(words)
    return found


def file_of(page: str, name: str) -> str:
    """The block of the page that is a file of this name."""
    (text,) = (text for kind, text in blocks(page) if kind == f"yaml {name}")
    return text


def options_of(words: list[str]) -> dict[str, str]:
    """The options of a command, by their names; `--name value` and `--name=value`."""
    text = " ".join(words)
    return dict(re.findall(r"(--[\w-]+)[= ]?([^\s-]\S*)?", text))


def test_helm_takes_what_the_page_writes(tmp_path: Path) -> None:
    """Each `helm upgrade --install` with the page's own values; and there is something for `helm test` to run."""
    (tmp_path / "my-values.yaml").write_text(file_of("kubernetes", "my-values.yaml"))
    written = [words for words in commands("kubernetes", "helm") if words[1] == "upgrade"]
    assert written
    for words in written:
        assert words[1:5] == ["upgrade", "--install", "extauthz", "deploy/helm/extauthz"]
        assert words[-1] == "--wait"
        made = subprocess.run(
            [find_helm(), "template", words[3], CHART, *words[5:-1], "--kube-version", KUBERNETES],
            check=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        objects = documents(made.stdout)
        (tmp_path / "extauthz.yaml").write_text(of_kind(objects, "ConfigMap", "extauthz")["data"]["extauthz.yaml"])
        load_settings(tmp_path / "extauthz.yaml")
        assert of_kind(objects, "Pod")["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert ["helm", "test", "extauthz", "--namespace", "extauthz"] in commands("kubernetes", "helm")


def test_in_a_mesh_the_values_of_its_page_add_to_whom_the_chart_lets_in_and_out(tmp_path: Path) -> None:
    def policy(*values: str) -> dict[str, Any]:
        template = [str(find_helm()), "template", "extauthz", str(CHART), "--values", "my-values.yaml", *values]
        made = subprocess.run(template, check=True, capture_output=True, text=True, cwd=tmp_path)
        spec: dict[str, Any] = of_kind(documents(made.stdout), "NetworkPolicy")["spec"]
        return spec

    (tmp_path / "my-values.yaml").write_text(file_of("kubernetes", "my-values.yaml"))
    (tmp_path / "mesh-values.yaml").write_text(file_of("istio", "mesh-values.yaml"))
    without, meshed = policy(), policy("--values", "mesh-values.yaml")
    assert [one for one in without["egress"] if one not in meshed["egress"]] == []
    (istiod,) = (one for one in meshed["egress"] if one not in without["egress"])
    assert [one["port"] for one in istiod["ports"]] == [15012]
    decisions, pages = (len(one["from"]) for one in meshed["ingress"])
    assert (decisions, pages) == (2, 1)


@pytest.mark.parametrize(
    ("gateway", "namespace", "labels"),
    [
        (
            "envoy-gateway",
            "envoy-gateway-system",
            {
                "gateway.envoyproxy.io/owning-gateway-namespace": "edge",
                "gateway.envoyproxy.io/owning-gateway-name": "public",
            },
        ),
        ("kgateway", "edge", {"gateway.networking.k8s.io/gateway-name": "public"}),
    ],
)
def test_the_chart_lets_in_the_pods_of_the_gateway(gateway: str, namespace: str, labels: dict[str, str]) -> None:
    values = yaml.safe_load(file_of("gateway-api", f"{gateway}-values.yaml"))["networkPolicy"]
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": labels},
    }
    assert values == {"decisions": [peer], "web": [peer]}
    shipped = documents((ROOT / "envoy" / "gateway-api" / gateway / "gateway.yaml").read_text())
    assert of_kind(shipped, "Gateway")["metadata"] == {"name": "public", "namespace": "edge"}
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["networkPolicy"]
    Draft7Validator(schema).validate(values)


def test_the_secrets_that_are_made_are_those_that_the_pods_wait_for() -> None:
    made = {
        words[words.index("generic") + 1]: options_of(words)["--from-file"]
        for words in commands("kubernetes", "kubectl")
        if "secret" in words
    }
    pod = of_kind(documents((MANIFESTS / "extauthz.yaml").read_text()), "Deployment")["spec"]["template"]["spec"]
    (store,) = (one["valueFrom"]["secretKeyRef"] for one in pod["containers"][0]["env"] if "valueFrom" in one)
    (keys,) = (volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume)
    assert made == {keys: "keys.json", store["name"]: store["key"]}


def test_what_is_applied_and_restarted_is_there() -> None:
    for words in commands("kubernetes", "kubectl"):
        options = options_of(words)
        if "apply" in words and options["--filename"]:
            assert (ROOT / options["--filename"]).exists()
        elif "rollout" in words:
            kind, _, name = words[-1].partition("/")
            assert (
                of_kind(documents((MANIFESTS / "extauthz.yaml").read_text()), kind.title())["metadata"]["name"] == name
            )
    for name in variants():
        assert f"`deploy/kubernetes/{name}.yaml`" in PAGES["kubernetes"]


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"gateway-api"}))
def test_our_own_commands_have_these_options(page: str, tmp_path: Path) -> None:
    written = commands(page, "extauthz")
    written += [words[words.index("exec") + 2 :] for words in commands(page, "docker") if "exec" in words]
    assert written
    for words in written:
        words = [word for word in words if word != ">"]
        named = [word for word in words[1:] if re.fullmatch(r"[a-z]+", word)][:2]
        told = command(*named, "--help", folder=tmp_path)
        assert told.returncode == 0, (named, told.stderr)
        for option in options_of(words):
            assert option in told.stdout, words


def test_keys_are_made_and_turned_as_the_page_says(tmp_path: Path) -> None:
    for words in commands("kubernetes", "extauthz"):
        done = command(*words[1:], folder=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "keys.json").exists()


def test_what_is_built_is_in_the_dockerfile() -> None:
    arguments, stages = read_dockerfile(ROOT / "Dockerfile")
    known = {*arguments, *(text.partition("=")[0] for stage in stages for text in stage.all("ARG"))}
    builds = [words for words in commands("docker", "docker") if "build" in words]
    assert len(builds) == 3
    for words in builds:
        options = options_of(words)
        assert options.get("--target", "grpcio") in {stage.name for stage in stages}
        assert options.get("--build-arg", "REVISION").partition("=")[0] in known
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", PAGES["docker"], re.MULTILINE))
    assert table == known
    assert arguments["PYTHON_IMAGE"].partition("@")[0] in PAGES["docker"]


def test_the_configuration_for_a_container_is_one(tmp_path: Path) -> None:
    (tmp_path / "extauthz.yaml").write_text(file_of("docker", "extauthz.yaml"))
    settings = load_settings(tmp_path / "extauthz.yaml")
    (run,) = (words for words in commands("docker", "docker") if words[1] == "run")
    _, stages = read_dockerfile(ROOT / "Dockerfile")
    (runtime,) = (stage for stage in stages if stage.name == "runtime")
    mounted = {word.split(":")[1] for word in run if word.count(":") and word.split(":")[1].startswith("/")}
    assert str(Path(runtime.environment["EXTAUTHZ_CONFIG"]).parent) in mounted
    (volume,) = runtime.all("VOLUME")
    assert volume in mounted
    assert str(settings.keys).startswith(volume)
    published = {word.rpartition(":")[2] for word in run if word.startswith("127.0.0.1:")}
    assert published == {address.rpartition(":")[2] for address in (settings.listen.grpc, settings.listen.web)}
    assert published <= set(runtime.all("EXPOSE")[0].split())


def test_what_is_asked_of_the_compose_file_is_in_it() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())
    policy = (ROOT / "deploy" / "compose" / "extauthz" / "policies" / "site.yaml").read_text()
    (_, _, first), (_, _, second) = commands("docker", "curl")
    assert "127.0.0.1:" + first.split(":")[2].partition("/")[0] + ":8080" in compose["services"]["envoy"]["ports"]
    assert "/public/closed/**" in policy
    assert (first.partition("8080")[2], second.partition("8080")[2]) == ("/public/hello", "/public/closed/hello")
    assert {words[3] for words in commands("docker", "docker") if words[1:3] == ["compose", "exec"]} <= set(
        compose["services"]
    )
    assert "127.0.0.1:16686:16686" in compose["services"]["jaeger"]["ports"]


def test_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES.values():
        for target in re.findall(r"`make ([\w-]+)`", page):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
