"""The dashboard, the alerts and the configuration for Prometheus, with a real Prometheus that scrapes a real server."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from lookup.deciding import key_set, new_key
from lookup.deciding import source as issuer
from metrics.counting import SPAN, TRACE
from otlp_receivers import over_http
from ports import free_port
from publishing import Page, publishing
from serving import CONFIG, Served, end, start

SHIPPED = Path(__file__).parents[2] / "envoy" / "observability"
DASHBOARD = json.loads((SHIPPED / "dashboard.json").read_text())
VARIABLES = {
    "$__rate_interval": "20s",
    "$__interval": "20s",
    "$__range": "60s",
    "$job": ".*",
    "$instance": ".*",
}
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: open, paths: ["/one", "/odd"], effect: allow}
    - {name: paid, paths: ["/pay"], when: has(user.sub), effect: allow}
    - {name: gold, paths: ["/gold"], when: attributes.crm.tier == "gold", effect: allow}
    - {name: fresh, paths: ["/pay"], effect: challenge, challenge: {factors: [totp], max_age: 5m}}
    - {name: later, paths: ["/one"], effect: deny, mode: shadow}
    - {name: odd, paths: ["/odd"], when: "1 / int(request.query.by) > 0", effect: deny}
"""
KEY = new_key("one")


def find(name: str) -> str:
    """A command of Debian's package `prometheus`; without it: a skip, or a failure where `REQUIRE_ALL` is set."""
    found = shutil.which(name)
    if found is None:
        message = f"no `{name}` here; install Debian's `prometheus` to run these tests"
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def queries() -> Iterator[tuple[str, str]]:
    """Each query of the dashboard with the title of its panel."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def filled(query: str) -> str:
    """As Grafana asks it."""
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    assert "$" not in query
    return query


@dataclass(frozen=True)
class Scraped:
    """A Prometheus that scrapes a server."""

    served: Served
    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def makes_something_happen(self) -> None:
        """Every decision that the panels tell of, and a reload."""
        traced = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        user = {"authorization": f"Bearer {KEY.token()}", "accept": "text/html"}
        self.served.answer("/one", traced)
        self.served.answer("/two", {})
        self.served.answer("/odd?by=0", {})
        self.served.answer("/pay", user)
        self.served.answer("/gold", user)
        self.served.process.send_signal(signal.SIGHUP)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder, command, port = tmp_path_factory.mktemp("scraped"), find("prometheus"), free_port()
    with publishing() as site, over_http() as receiver:
        site.pages["/jwks"] = Page(body=key_set(KEY))
        site.pages["/users/alice"] = Page(body='{"tier": "gold"}')
        (folder / "policies").mkdir()
        (folder / "policies" / "site.yaml").write_text(POLICY)
        crm = {
            "name": "crm",
            "http": {"url": site.url + "/users/{user}"},
            "ask": {"user": "user.sub"},
            "fields": {"tier": "string"},
            "cache": {"ttl": "0s"},
        }
        identity = {"users": [issuer(jwks=f"{site.url}/jwks")]}
        (folder / "extauthz.yaml").write_text(
            f"{CONFIG}\naudit: {{path: audit.jsonl}}\n"
            f"identity: {json.dumps(identity)}\nattributes: {json.dumps([crm])}\n"
        )
        served = start(folder, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{receiver.endpoint}/v1/traces")
        written = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
        written["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        ours, envoys = written["scrape_configs"]
        ours["static_configs"] = [{"targets": [served.said["admin"]]}]
        envoys["static_configs"] = []
        shutil.copy(SHIPPED / "alerts.yml", folder)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(written))
        process = subprocess.Popen(
            [
                command,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'series'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
                "--log.level=error",
            ]
        )
        try:
            yield Scraped(served, f"http://127.0.0.1:{port}")
        finally:
            process.kill()
            process.wait()
            end(served)


def waits_for_prometheus(scraped: Scraped) -> None:
    while True:
        try:
            if httpx.get(f"{scraped.url}/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)


def test_every_query_of_the_dashboard_finds_what_a_server_tells(scraped: Scraped) -> None:
    waits_for_prometheus(scraped)
    left = dict.fromkeys(queries())
    deadline = time.monotonic() + 60
    while left and time.monotonic() < deadline:
        scraped.makes_something_happen()
        time.sleep(1)
        left = {one: None for one in left if not scraped.ask("query", query=filled(one[1]))["result"]}
    assert list(left) == []
    for variable in DASHBOARD["templating"]["list"][1:]:
        assert re.fullmatch(r"label_values\(extauthz_policy_info.*\)", variable["query"]["query"])
    told = scraped.ask(
        "query_exemplars", query="extauthz_decision_seconds_bucket", start="0", end=str(time.time() + 60)
    )
    exemplars = [exemplar["labels"] for series in told for exemplar in series["exemplars"]]
    assert TRACE in {labels.get("trace_id") for labels in exemplars}


def test_the_alerts_are_evaluated_and_none_is_about_a_server_that_is_well(scraped: Scraped) -> None:
    waits_for_prometheus(scraped)
    rules: list[dict[str, Any]] = []
    while not rules or any(rule["health"] == "unknown" for rule in rules):
        rules = [rule for group in scraped.ask("rules")["groups"] for rule in group["rules"]]
        time.sleep(0.2)
    assert {rule["name"]: rule["health"] for rule in rules} == {rule["name"]: "ok" for rule in rules}
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert firing == set()


def test_promtool_takes_what_is_shipped() -> None:
    checked = subprocess.run(
        [find("promtool"), "check", "config", "prometheus.yml"],
        cwd=SHIPPED,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_panel_lies_upon_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for place in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert taken.setdefault(place, panel["title"]) == panel["title"]
