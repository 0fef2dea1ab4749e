"""The `attributes:` list of the configuration: what is refused, and what the rest comes to."""

from pathlib import Path
from typing import Any

import pytest
from attributes.asking_sources import over_http, source, sources_of
from pydantic import ValidationError

from extauthz import cel
from extauthz.app.compiling import Compiler, Sources
from extauthz.policy.attribute_sources import attributes_type
from extauthz.policy.problems import PolicyErrors
from extauthz.settings import load_settings

URL = "https://crm.example.com"
PDP: dict[str, object] = {"authzen": {"url": f"{URL}/access/v1/evaluation"}, "fields": {}}
EVALUATION = {
    "subject": "{'type': 'user', 'id': user.sub}",
    "action": "{'name': request.method}",
    "resource": "{'type': 'path', 'id': request.path}",
}

REFUSED: list[tuple[dict[str, Any], str]] = [
    (source(), "one of `http`, `grpc` and `authzen`"),
    (source(http={"url": URL + "/{user}"}, grpc={"url": URL}), "one of `http`, `grpc` and `authzen`"),
    (over_http(URL, name="in"), "a word of CEL"),
    (over_http(URL, name="my-crm"), "pattern"),
    (over_http(URL, fields={"_tier": "string"}), "pattern"),
    (over_http(URL, fields={"true": "string"}), "a word of CEL"),
    (over_http(URL, fields={"tier": "bytes"}), "`bytes` is no type of an answer"),
    (over_http(URL, fields={"tier": "strng"}), "did you mean `string`"),
    (over_http(URL, fields={}), "without `fields` nothing is told"),
    (over_http(URL, ask={}), "at least 1"),
    (over_http(URL, ask={"user": "user.subb"}), "at 1:1: `user` has no field `subb`|did you mean `sub`"),
    (over_http(URL, ask={"user": "user."}), "at 1:"),
    (over_http(URL, ask={"user": "session.id"}), "undeclared name `session`"),
    (over_http(URL, ask={"user": "geo.country"}), "undeclared name `geo`"),
    (over_http(URL, ask={"user": "attributes.other.x"}), "undeclared name `attributes`"),
    (over_http(URL, ask={"user": "request.params.id"}), "no field `params`"),
    (over_http(URL, ask={"user": "string(now)"}), "undeclared name `now`"),
    (over_http(URL, ask={"user": "user.groups"}), "`user` is of type list"),
    (over_http(URL, ask={"who": "user.sub"}), "a place for `user`"),
    (over_http(URL, ask={"user": "user.sub", "tenant": "context.tenant"}), r"`tenant` is asked and has no place"),
    (source(http={"url": "http://crm.example.com/{user}"}), "loopback"),
    (source(http={"url": URL + "/{user}", "absent": [503]}), "`503` can't say that nothing is known"),
    (source(http={"url": URL + "/{user}", "absent": [404, 404]}), "listed twice"),
    (source(grpc={"url": "http://crm.example.com:1"}), "loopback"),
    (source(grpc={"url": URL + "/path"}), "without a path"),
    (source(grpc={"url": "unix:crm.sock"}), "URL"),
    ({**PDP, "name": "pdp", "ask": {"subject": "{'type': 'a'}"}}, "`ask` lacks `action`"),
    ({**PDP, "name": "pdp", "ask": {**EVALUATION, "who": "user.sub"}}, "`who` is no part of an evaluation"),
    ({**PDP, "name": "pdp", "ask": EVALUATION, "fields": {"decision": "bool"}}, "`decision` is in every answer"),
    (over_http(URL, timeout="1m"), "at most 30s"),
    (over_http(URL, timeout="0s"), "longer than nothing"),
    (over_http(URL, at_once=0), "greater than or equal to 1"),
    (over_http(URL, at_once=True), "whole number"),
    (over_http(URL, size=0), "greater than or equal to 1"),
    (over_http(URL, cache={"ttl": 30}), "without a unit"),
    (over_http(URL, cache={"entries": 0}), "greater than or equal to 1"),
    (over_http(URL, breaker={"failures": 0}), "greater than or equal to 1"),
    (over_http(URL, on_failure="allow"), "'error', 'absent' or 'deny'"),
    (over_http(URL, tokn="x"), "Extra inputs"),
    (over_http(URL, token=None), "must not be empty"),
]


@pytest.mark.parametrize(("written", "message"), REFUSED)
def test_what_could_only_fail_later_is_refused_when_it_is_loaded(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        sources_of(written)


def test_two_sources_have_two_names() -> None:
    with pytest.raises(ValidationError, match="`crm` is listed twice"):
        sources_of(over_http(URL), over_http(URL))


def test_conditions_are_checked_against_the_fields_that_are_declared() -> None:
    sources = sources_of(
        over_http(URL, fields={"tier": "string", "limit": "double"}),
        {**PDP, "name": "pdp", "ask": EVALUATION, "fields": {"reason": "string"}},
    )
    names = {"attributes": attributes_type(one.declared for one in sources)}
    condition = cel.compile("attributes.crm.limit > 5.0 && attributes.pdp.decision", variables=names)
    assert condition.result_type == cel.BOOL
    for text, message in {
        "attributes.crm.limt": "did you mean `limit`",
        "attributes.crn.limit": "did you mean `crm`",
        "attributes.crm.limit == 'x'": "no matching overload|no such overload|double",
    }.items():
        with pytest.raises(cel.CompileError, match=message):
            cel.compile(text, variables=names)


CONFIGURATION = """
policies: [policies/]
request: {headers: [x-tenant]}
attributes:
  - name: crm
    http: {url: "https://crm.example.com/{user}?tenant={tenant}"}
    ask: {user: user.sub, tenant: "request.headers['HEADER']"}
    fields: {tier: string}
"""


def test_a_header_that_is_asked_must_be_one_that_envoy_sends(tmp_path: Path) -> None:
    path = tmp_path / "extauthz.yaml"
    path.write_text(CONFIGURATION.replace("HEADER", "x-other"))
    with pytest.raises(PolicyErrors, match=r"`tenant`, which `attributes` asks of `crm`: the header `x-other` is not"):
        load_settings(path)
    path.write_text(CONFIGURATION.replace("HEADER", "X-Tenant"))
    assert load_settings(path).attributes[0].name == "crm"


def test_what_is_declared_goes_to_the_process_that_compiles_policies(tmp_path: Path) -> None:
    (tmp_path / "extauthz.yaml").write_text(CONFIGURATION.replace("HEADER", "x-tenant"))
    settings = load_settings(tmp_path / "extauthz.yaml")
    (tmp_path / "policies").mkdir()
    policy = tmp_path / "policies" / "site.yaml"
    policy.write_text(
        "{apiVersion: extauthz/v1, kind: Policy, metadata: {name: site}, spec: {rules: [{name: gold, "
        "paths: [/x], when: attributes.crm.tier == 'gold', effect: allow}]}}"
    )
    sources = Sources(paths=settings.policy_paths, declared=settings.declared)
    (rule,) = Compiler().compile(sources).rules
    assert rule.reads.sources == {"crm"}
    policy.write_text(policy.read_text().replace("crm.tier", "crm.teir"))
    with pytest.raises(PolicyErrors, match=r"`attributes.crm` has no field `teir`; did you mean `tier`"):
        Compiler().compile(sources)
