"""Every key says what it does, and the JSON Schema of the configuration takes what is taken when it is loaded."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from extauthz.policy.yaml_source import load_documents
from extauthz.settings import load_settings
from extauthz.settings.schema import json_schema

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json_schema()
FILES = sorted([*ROOT.glob("docs/examples/*/extauthz.yaml"), *ROOT.glob("deploy/compose/**/extauthz.yaml")])

TAKEN = {
    "durations": "revocations: {max_staleness: never}\nsessions: {touch_every: 1m30s, keep: 30d}",
    "sizes and rates": "audit: {path: a, rotate: {size: 100MB, every: 24h}, retain: {for: 90d, files: 3}}\n"
    "approvals: {url: 'https://a.example.com'}\n"
    "events: {webhooks: [{name: siem, url: 'https://s.example.com', secrets: [{file: s}], rate: {per_rule: 3/h}}]}",
    "shifts": "approvals: {schedules: {night: [{zone: Europe/Berlin, from: '22:00', to: '06:00', persons: [mia]}]}}",
    "one for a list": "identity: {users: [{name: i, issuer: 'https://i', jwks: j, audiences: [a],"
    " proofs: {amr: {otp: totp, hwk: [webauthn]}}}]}",
    "three kinds of users": "identity: {users: ["
    "{name: a, issuer: 'https://a', jwks: j, audiences: [s], from: ['cookie:session']},"
    "{name: b, issuer: 'https://b', from: ['metadata:n/k'], audiences: [s]},"
    "{name: c, issuer: 'https://c', introspection: {url: 'https://c/i', client_id: e, client_secret_file: f}}]}",
    "headers by name": "request: {headers: [cookie, x-forwarded-client-cert, authorization, x-forwarded-for]}",
}
REFUSED = {
    "no such key": "lisen: {}",
    "no such key within": "listen: {grcp: '127.0.0.1:1'}",
    "a bare number": "revocations: {max_staleness: 60}",
    "a size without a unit": "audit: {path: a, rotate: {size: 1000}}",
    "nothing": "listen:",
    "a key that its kind of block refuses": "approvals: {url: 'https://a.example.com',"
    " tokens: {issuer: 'https://a', audiences: [s], jwks: j, name: mine}}",
}


def keys(schema: Mapping[str, Any] = SCHEMA) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for block in (schema, *schema["$defs"].values()):
        for key, field in block.get("properties", {}).items():
            yield f"{block['title']}.{key}", field


def value_of(text: str) -> object:
    (document,) = load_documents(text, "extauthz.yaml")
    return document.value


def faults(value: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMA).iter_errors(value)]


def test_every_key_says_what_it_does() -> None:
    mute = [name for name, field in keys() if not field.get("description", "").endswith((".", ")"))]
    assert mute == []
    assert len(list(keys())) > 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_schema_takes_the_configurations_that_are_shipped(path: Path) -> None:
    assert faults(value_of(path.read_text())) == []


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN.keys())
def test_the_schema_takes_what_a_load_takes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "extauthz.yaml"
    path.write_text(f"policies: [p]\n{text}\n")
    load_settings(path)
    assert faults(value_of(path.read_text())) == []


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_the_schema_refuses_what_is_never_right(text: str) -> None:
    assert faults(value_of(f"policies: [p]\n{text}\n")) != []


def test_defaults_are_told_as_a_file_would_write_them() -> None:
    told = dict(keys())
    assert told["RevocationSettings.max_staleness"]["default"] == "1m"
    assert told["RateSettings.per_rule"]["default"] == "10/min"
    assert told["extauthz.yaml.listen"]["default"] == {}
    assert "default" not in told["extauthz.yaml.audit"]
    for name, field in told.items():
        default = field.get("default")
        if isinstance(default, str) and "pattern" in field:
            assert Draft202012Validator(field).is_valid(default), name


def test_the_command_prints_it() -> None:
    command = [sys.executable, "-m", "extauthz", "config", "schema"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == SCHEMA
