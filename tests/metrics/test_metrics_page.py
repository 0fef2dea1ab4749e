"""`/metrics` as scrapers ask for it: each format is one that its own parser takes, and OpenMetrics has exemplars."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus
from serving import CONFIG, POLICY, Served, end, start

ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (tmp_path / "extauthz.yaml").write_text(CONFIG)
    served = start(tmp_path)
    yield served
    end(served)


def decisions(text: str) -> dict[tuple[str, str, str], float]:
    return {
        (sample.labels["decision"], sample.labels["reason"], sample.labels["rule"]): sample.value
        for family in read_prometheus(text)
        for sample in family.samples
        if sample.name == "extauthz_decisions_total"
    }


def test_a_server_that_is_told_nothing_counts_its_decisions(served: Served) -> None:
    assert served.allows("/one")
    assert not served.allows("/two")
    assert not served.allows("/two")
    plain = served.probe("/metrics")
    assert decisions(plain.text) == {("allow", "allowed", "site/open"): 1.0, ("deny", "no-rule-allows", ""): 2.0}
    assert "extauthz_records_" not in plain.text, "nobody takes records"
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert " # {" not in plain.text


def test_open_metrics_shows_decisions_that_stand_for_others(served: Served) -> None:
    answer = served.answer("/one", {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    id_ = answer.dynamic_metadata.fields["extauthz"].struct_value.fields["decision_id"].string_value
    page = httpx.get(f"http://{served.said['admin']}/metrics", headers={"accept": ACCEPT})
    assert page.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    found = [
        sample.exemplar.labels
        for family in read_openmetrics(page.text)  # type: ignore[no-untyped-call]  # it has none
        for sample in family.samples
        if sample.name == "extauthz_decision_seconds_bucket" and sample.exemplar is not None
    ]
    assert [one["trace_id"] for one in found] == [TRACE]
    assert [one["decision_id"] for one in found] == [id_]
