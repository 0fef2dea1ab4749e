"""The chart: what Helm makes of it is committed, and Kubernetes takes it; mistakes are told in one line."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.kubernetes_schemas import VERSION
from deploy.pods import Manifest, documents, of_kind
from deploy.tools import (
    KUBECONFORM,
    KUBECTL_VALIDATE,
    PROMETHEUS_OPERATOR,
    ROOT,
    find_helm,
    find_kubeconform,
    find_kubectl_validate,
    find_schemas,
)
from jsonschema import Draft7Validator

from deploy.render import ALERTS, CHART, COPY_OF_ALERTS, HELM, KUBERNETES, MANIFESTS, readme, template, variants
from extauthz import __version__
from extauthz.settings import load_settings

POLICY = "--set=policies.configMaps={site}"
EVERYTHING = Path(__file__).parent / "everything.yaml"


def rendered(*options: str | Path) -> "subprocess.CompletedProcess[str]":
    command: list[str | Path] = [find_helm(), "template", "extauthz", CHART, "--namespace", "mesh"]
    return subprocess.run(
        [*command, "--kube-version", KUBERNETES, *options], check=False, capture_output=True, text=True
    )


def objects(*options: str | Path) -> Sequence[Manifest]:
    made = rendered(*options)
    assert made.returncode == 0, made.stderr
    return documents(made.stdout)


def settings(*options: str | Path) -> Any:
    made = objects(*options)
    (text,) = (one["data"]["extauthz.yaml"] for one in made if "extauthz.yaml" in one.get("data", {}))
    return yaml.safe_load(text)


def problems(path: Path) -> dict[str, Any]:
    """What Kubernetes' own schemas say of each object of a file."""
    command: list[str | Path] = [find_kubectl_validate(), "--local-crds", find_schemas(), "--output", "json", path]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    (said,) = json.loads(told.stdout).values()
    return {f"{number}": one for number, one in enumerate(said) if one["status"] != "Success"}


@pytest.mark.parametrize("variant", variants())
def test_the_committed_manifests_are_what_helm_makes(variant: str) -> None:
    find_helm()
    assert (MANIFESTS / f"{variant}.yaml").read_text() == template(variant), "run `make manifests`"


def test_the_table_of_values_is_that_of_the_schema() -> None:
    """Each value has a default, a meaning and a type; this needs no Helm."""
    assert (CHART / "README.md").read_text() == readme(), "run `make manifests`"
    schema = json.loads((CHART / "values.schema.json").read_text())
    Draft7Validator.check_schema(schema)
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert not list(Draft7Validator(schema).iter_errors(defaults))
    assert list(defaults) == [name for name in schema["properties"] if name != "global"]


def test_every_value_is_used() -> None:
    text = "".join(path.read_text() for path in CHART.glob("templates/**/*") if path.is_file())
    for name in re.findall(r"^\| `([\w.]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE):
        short = re.sub(r"^(tls|store|policies|networkPolicy)\.", r"\1.", name)
        assert f".Values.{short}" in text, name


def test_versions_are_those_of_the_package_and_of_the_makefile() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    makefile = (ROOT / "Makefile").read_text()
    assert f"HELM := {HELM}\n" in makefile
    assert f"KUBECTL_VALIDATE := {KUBECTL_VALIDATE}\n" in makefile
    assert f"PROMETHEUS_OPERATOR := {PROMETHEUS_OPERATOR}\n" in makefile
    assert f"KUBECONFORM := {KUBECONFORM}\n" in makefile
    assert f"v{KUBERNETES}" == VERSION


@pytest.mark.parametrize(
    "values", [*sorted((MANIFESTS / "values").glob("*.yaml")), EVERYTHING], ids=lambda path: path.stem
)
def test_helm_finds_nothing_to_mend(values: Path) -> None:
    command: list[str | Path] = [find_helm(), "lint", "--strict", CHART, "--values", values]
    linted = subprocess.run([*command, "--kube-version", KUBERNETES], check=False, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout
    assert "[WARNING]" not in linted.stdout


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_kubernetes_takes_the_manifests(path: Path) -> None:
    assert not problems(path)


def test_kubernetes_takes_what_every_value_makes(tmp_path: Path) -> None:
    made = rendered("--values", EVERYTHING)
    (tmp_path / "everything.yaml").write_text(made.stdout)
    assert not problems(tmp_path / "everything.yaml"), made.stderr


@pytest.mark.parametrize(
    ("break_it", "with_it"), [("readinessProbe:", "readynessProbe:"), ("interval: 30s", "interval: often")]
)
def test_the_schemas_would_tell(tmp_path: Path, break_it: str, with_it: str) -> None:
    text = (MANIFESTS / "mtls.yaml").read_text()
    assert break_it in text
    (tmp_path / "broken.yaml").write_text(text.replace(break_it, with_it))
    assert problems(tmp_path / "broken.yaml")


def conforms(text: str) -> "subprocess.CompletedProcess[str]":
    """What kubeconform says of manifests; it has no schemas for the operator's objects."""
    kubeconform = find_kubeconform()
    command: list[str | Path] = [kubeconform, "-strict", "-summary", "-kubernetes-version", KUBERNETES]
    command += ["-schema-location", kubeconform.parent, "-skip", "ServiceMonitor,PrometheusRule"]
    return subprocess.run(command, input=text, check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    "values", [*sorted((MANIFESTS / "values").glob("*.yaml")), EVERYTHING], ids=lambda path: path.stem
)
def test_kubeconform_takes_what_helm_makes(values: Path) -> None:
    made = rendered("--values", values)
    assert made.returncode == 0, made.stderr
    told = conforms(made.stdout)
    assert told.returncode == 0, told.stdout
    assert "Invalid: 0, Errors: 0" in told.stdout
    assert "Valid: 0," not in told.stdout


def test_kubeconform_would_tell() -> None:
    text = (MANIFESTS / "single.yaml").read_text()
    assert "readinessProbe:" in text
    assert conforms(text.replace("readinessProbe:", "readynessProbe:")).returncode == 1


def test_every_value_has_its_effect(tmp_path: Path) -> None:
    made = objects("--values", EVERYTHING)
    deployment = of_kind(made, "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    container, beside = pod["containers"]
    assert container["image"].startswith("registry.example.com/extauthz@sha256:")
    assert container["args"][-1] == "pyvoy"
    assert {one["name"]: one for one in container["env"]}["EXTAUTHZ_STORE"]["valueFrom"]["secretKeyRef"] == {
        "name": "my-redis",
        "key": "address",
    }
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/etc/extauthz/files", "/etc/extauthz/tls", "/var/log/extauthz"} <= mounts
    assert pod["serviceAccountName"] == "decisions"
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert deployment["template"]["metadata"]["labels"]["example.com/c"] == "d"
    assert (container["name"], beside["name"], pod["initContainers"][0]["name"]) == ("extauthz", "ship", "wait")
    assert container["startupProbe"]["failureThreshold"] == 300
    assert container["readinessProbe"] == {
        "httpGet": {"path": "/ready", "port": "admin"},
        "initialDelaySeconds": 3,
        "periodSeconds": 5,
        "timeoutSeconds": 3,
        "failureThreshold": 3,
    }
    assert container["envFrom"] == [{"secretRef": {"name": "proxies"}}]
    assert deployment["revisionHistoryLimit"] == 5
    (keys,) = (volume["secret"] for volume in pod["volumes"] if volume["name"] == "keys")
    assert keys["items"] == [{"key": "extauthz.json", "path": "keys.json"}]
    assert of_kind(made, "Deployment")["metadata"]["annotations"] == {"example.com/restart-on": "my-redis"}
    assert all(one["metadata"]["labels"]["example.com/cost-centre"] == "4711" for one in made)
    assert {
        one["metadata"]["name"]: one["spec"].get("trafficDistribution") for one in made if one["kind"] == "Service"
    }.items() >= {"gate": "PreferClose", "gate-pods": None, "gate-web": None}.items()
    scaler = of_kind(made, "HorizontalPodAutoscaler")["spec"]
    assert [one["resource"]["name"] for one in scaler["metrics"]] == ["cpu", "memory"]
    assert scaler["behavior"]["scaleDown"] == {"stabilizationWindowSeconds": 600}
    (endpoint,) = of_kind(made, "ServiceMonitor")["spec"]["endpoints"]
    assert (len(endpoint["relabelings"]), len(endpoint["metricRelabelings"])) == (1, 1)
    assert {one["metadata"]["name"] for one in made if one["kind"] == "Service"} == {
        *("gate", "gate-pods", "gate-web", "gate-admin", "gate-approvals"),
    }
    (tmp_path / "extauthz.yaml").write_text(of_kind(made, "ConfigMap", "gate")["data"]["extauthz.yaml"])
    loaded = load_settings(tmp_path / "extauthz.yaml")
    assert loaded.listen.grpc == "[::]:9191"
    assert loaded.logs.level == "warning"
    assert loaded.logs.format == "json"
    assert {str(path) for path in loaded.policies} < mounts
    assert len(loaded.policies) == 3


def test_a_change_of_the_configuration_replaces_the_pods_and_one_of_policies_does_not() -> None:
    def stamp(*options: str) -> str:
        template = of_kind(objects(*options), "Deployment")["spec"]["template"]
        return json.dumps(template, sort_keys=True)

    first = stamp("--set=policies.files.a\\.yaml=one")
    assert stamp("--set=policies.files.a\\.yaml=two") == first
    assert stamp("--set=policies.files.a\\.yaml=one", "--set=config.logs.level=error") != first


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "no policies"),
        ([POLICY, "--set=store.kind=memory"], "store.kind: `memory` is known to one pod alone"),
        ([POLICY, "--set=store.kind=sqlite"], "store.kind: `sqlite` is known to one pod alone"),
        (
            [POLICY, "--set=store.kind=sqlite,replicas=1,autoscaling.enabled=true"],
            "store.kind: `sqlite` is known to one pod alone",
        ),
        ([POLICY, "--set=keys.secret="], "keys.secret: pods that share a Redis need the same keys"),
        ([POLICY, "--set=config.store=memory:"], "config.store: is written by the chart"),
        ([POLICY, "--set=config.listen.grpc=x"], "config.listen: is written by the chart"),
        ([POLICY, "--set=tls.secret=x"], "tls.callers: without names anybody"),
        ([POLICY, "--set=tls.callers={x}"], "tls.secret: is missing"),
        ([POLICY, "--set=terminationGracePeriodSeconds=25"], "terminationGracePeriodSeconds: calls that are under way"),
        ([POLICY, "--set=serviceMonitor.enabled=true"], "networkPolicy.admin: lets nobody in"),
        ([POLICY, "--set=autoscaling.enabled=true,autoscaling.maxReplicas=1"], "autoscaling.maxReplicas: is less"),
        ([POLICY, "--set=autoscaling.enabled=true,resources.requests.cpu=null"], "resources.requests.cpu: is missing"),
        ([POLICY, "--set=prometheusRule.enabled=true,prometheusRule.without={Slow}"], "there is no alert `Slow`"),
        ([POLICY, "--set=networkPolicy.decisions[0].podselector.x=y"], "podselector"),
        ([POLICY, "--set-json=networkPolicy.decisions=[{}]"], "networkPolicy/decisions/0"),
        ([POLICY, "--set=probes.liveness.httpGet=x"], "httpGet"),
        (
            [POLICY, "--set=commonLabels.app\\.kubernetes\\.io/name=x"],
            "commonLabels: `app.kubernetes.io/name` is the chart's own",
        ),
        ([POLICY, "--set=replicaCount=3"], "replicaCount"),
        ([POLICY, "--set=image.digest=sha256:abc"], "/image/digest"),
        ([POLICY, "--set=policies.files.a\\.txt=x"], "a.txt"),
        ([POLICY, "--kube-version=1.29.0"], "requires kubeVersion"),
    ],
)
def test_what_can_not_go_together_is_refused(options: list[str], told: str) -> None:
    made = rendered(*options)
    assert made.returncode != 0
    assert told in made.stderr


def test_one_pod_needs_no_redis_and_no_secret() -> None:
    options = (POLICY, "--set=replicas=1,keys.secret=", "--set=store.kind=memory")
    assert "secret" not in re.sub("#.*", "", rendered(*options).stdout).lower()
    assert settings(*options)["store"] == "memory:"


def test_bundles_are_policies_too() -> None:
    made = settings("--set=config.bundles[0].name=site,config.bundles[0].url=https://bundles.example.com/site")
    assert "policies" not in made
    assert made["bundle_cache"] == "/var/lib/extauthz/bundles"


def notes(folder: Path, *options: str) -> str:
    """Helm shows them to a cluster alone; here a template shows them."""
    shutil.copytree(CHART, folder / "chart")
    (folder / "chart" / "templates" / "NOTES.txt").rename(folder / "chart" / "notes.txt")
    (folder / "chart" / "templates" / "notes.yaml").write_text('text: {{ tpl (.Files.Get "notes.txt") . | toJson }}')
    command: list[str | Path] = [find_helm(), "template", "extauthz", folder / "chart", "--namespace", "mesh", *options]
    only = ("--show-only", "templates/notes.yaml", "--kube-version", KUBERNETES)
    told: str = yaml.safe_load(subprocess.run([*command, *only], check=True, capture_output=True, text=True).stdout)[
        "text"
    ]
    return told


def test_the_notes_name_the_secrets_that_are_waited_for(tmp_path: Path) -> None:
    told = notes(tmp_path, POLICY)
    assert "create secret generic extauthz-keys --from-file=keys.json" in told
    assert "put the label on the pods of your Envoys" in told
    assert 'extauthz-client: "true"' in told
    assert "create secret generic extauthz-redis --from-file=url" in told
    assert "extauthz.mesh.svc:9191" in told
    assert "WARNING" not in told


def test_the_notes_warn_of_what_is_for_trials(tmp_path: Path) -> None:
    told = notes(tmp_path, POLICY, "--set=replicas=1,store.kind=memory,networkPolicy.enabled=false")
    assert "`store.kind: memory` forgets proofs" in told
    assert "without a NetworkPolicy every pod of the cluster can ask" in told


NAMESPACE = '--set-json=networkPolicy.decisions=[{"namespaceSelector":{"matchLabels":{"a":"b"}}}]'


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ([NAMESPACE], True),
        (['--set-json=networkPolicy.decisions=[{"podSelector":{}}]'], True),
        (['--set-json=networkPolicy.decisions=[{"ipBlock":{"cidr":"10.0.0.0/8"}}]'], False),
        ([NAMESPACE, "--set=tls.secret=x,tls.callers={a}"], False),
    ],
)
def test_the_notes_warn_where_a_whole_namespace_may_ask(tmp_path: Path, options: list[str], warned: bool) -> None:
    assert ("lets every pod of a namespace ask" in notes(tmp_path, POLICY, *options)) is warned


def test_by_default_pods_with_a_label_may_ask_and_nobody_else_and_the_test_of_the_release_is_one() -> None:
    made = objects(POLICY, "--set=services.approvals.enabled=true")
    label = {"extauthz-client": "true"}
    ingress = of_kind(made, "NetworkPolicy")["spec"]["ingress"]
    assert [rule["ports"][0]["port"] for rule in ingress] == ["grpc", "web", "approvals"]
    assert all(rule["from"] == [{"podSelector": {"matchLabels": label}}] for rule in ingress)
    (test,) = (one for one in made if one["kind"] == "Pod")
    assert test["metadata"]["labels"].items() >= label.items()
    pods = of_kind(made, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert not pods.items() >= label.items()


def test_the_alerts_of_the_chart_are_those_of_the_repository() -> None:
    assert COPY_OF_ALERTS.read_text() == ALERTS.read_text(), f"copy {ALERTS} to {COPY_OF_ALERTS}; `make manifests` does"


def test_alerts_are_about_the_job_that_is_scraped_but_for_those_that_are_left_out() -> None:
    options = (POLICY, "--set=serviceMonitor.enabled=true,networkPolicy.enabled=false,nameOverride=gate")
    made = objects(*options, "--set=prometheusRule.enabled=true,prometheusRule.without={ExtauthzSlow}")
    shipped = yaml.safe_load(ALERTS.read_text().replace('job="extauthz"', 'job="gate"'))["groups"]
    for group in shipped:
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] != "ExtauthzSlow"]
    assert of_kind(made, "PrometheusRule")["spec"]["groups"] == shipped
    monitor = of_kind(made, "ServiceMonitor")["spec"]
    (scraped,) = (
        one["metadata"]["labels"]
        for one in made
        if one["kind"] == "Service" and monitor["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
    )
    assert scraped[monitor["jobLabel"]] == "gate"


def test_the_user_can_be_left_to_the_platform() -> None:
    named, left = objects(POLICY), objects(POLICY, "--set=runAsUser=null")
    for pods, users in ((named, {65532}), (left, set())):
        contexts = [of_kind(pods, "Deployment")["spec"]["template"]["spec"], of_kind(pods, "Pod")["spec"]]
        said = [context["securityContext"] for context in contexts]
        assert all(one["runAsNonRoot"] is True for one in said)
        assert {one[key] for one in said for key in ("runAsUser", "runAsGroup", "fsGroup") if key in one} == users


@pytest.mark.parametrize(
    ("address", "store"),
    [
        ("redis://redis.redis.svc:6379", "redis://redis.redis.svc:6379?password_file=/etc/extauthz/redis/password"),
        ("rediss://r:6379?ca=/etc/extauthz/files/ca.pem", "&password_file=/etc/extauthz/redis/password"),
    ],
)
def test_a_secret_may_have_the_password_of_redis_alone(tmp_path: Path, address: str, store: str) -> None:
    options = (POLICY, f"--set=store.redis.address={address}", "--set=store.redis.key=redis-password")
    assert settings(*options)["store"].endswith(store)
    (tmp_path / "extauthz.yaml").write_text(yaml.safe_dump(settings(*options)))
    load_settings(tmp_path / "extauthz.yaml")
    pod = of_kind(objects(*options), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "EXTAUTHZ_STORE" not in {one["name"] for one in container["env"]}
    (folder,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "redis")
    (secret,) = (volume["secret"] for volume in pod["volumes"] if volume["name"] == "redis")
    assert (secret["secretName"], secret["items"]) == (
        "extauthz-redis",
        [{"key": "redis-password", "path": "password"}],
    )
    assert store.endswith(f"{folder}/password")
    assert "the password)" in notes(tmp_path, *options)
