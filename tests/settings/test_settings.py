"""The configuration file, the environment over it, and what is said of a bad one."""

from math import inf
from pathlib import Path

import pytest

from extauthz.errors import ConfigurationError, ExtauthzError
from extauthz.policy.problems import PolicyErrors
from extauthz.settings import load_settings


def written(folder: Path, text: str) -> Path:
    path = folder / "extauthz.yaml"
    path.write_text(text)
    return path


def test_policies_alone_are_a_configuration(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, "policies: [policies/]"))
    assert settings.policy_paths == (tmp_path / "policies",)
    assert settings.listen.grpc == "127.0.0.1:9191"
    assert settings.store == "sqlite:///extauthz.db"
    assert settings.keys_path == tmp_path / "keys.json"
    assert settings.declared_headers is None
    assert settings.identity.users == ()


def test_the_environment_beats_the_file_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTAUTHZ_LISTEN__GRPC", "unix:/run/x.sock")
    monkeypatch.setenv("EXTAUTHZ_POLICIES", '["a", "b"]')
    settings = load_settings(written(tmp_path, "policies: [c]\nlisten: {grpc: '127.0.0.1:1', web: '127.0.0.1:2'}"))
    assert settings.listen.grpc == "unix:/run/x.sock"
    assert settings.listen.web == "127.0.0.1:2"
    assert settings.policy_paths == (tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(("text", "expected"), [("", 60), ("2m", 120), ("1s", 1), ("never", inf)])
def test_revocations_get_stale_after_a_minute_unless_it_says_otherwise(
    tmp_path: Path, text: str, expected: float
) -> None:
    block = f"\nrevocations: {{max_staleness: {text}}}" if text else ""
    settings = load_settings(written(tmp_path, f"policies: [p]{block}"))
    assert settings.revocations.max_staleness == expected


STEP_UP = """\
policies: [p]
stepup:
  webauthn: {id: example.com, origins: ["https://app.example.com"]}
  oidc:
    - {issuer: "https://idp.example.com", client_id: extauthz, subjects: {"https://login.example.com": email}}
"""


def test_factors_that_need_settings_are_provable_with_them(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "policies: [p]")).stepup.factors == {"totp", "recovery"}
    assert load_settings(written(tmp_path, STEP_UP)).stepup.factors == {"totp", "recovery", "webauthn", "oidc"}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("example.com, origins", "203.0.113.9, origins", "is an IP address, and browsers take none"),
        ('["https://app.example.com"]', '["https://app.example.org"]', "is not within `example.com`"),
        ('["https://app.example.com"]', "[]", "must not be empty"),
        (
            "email}}",
            'email}}\n    - {issuer: "https://login.example.com", client_id: x}',
            "users of `https://login.example.com` would be sent to two providers; remove one of them",
        ),
        ("webauthn:", "webauth:", "unknown field `webauth`; did you mean `webauthn`?"),
    ],
)
def test_step_up_that_could_not_work_is_one_line(tmp_path: Path, before: str, after: str, message: str) -> None:
    assert before in STEP_UP
    with pytest.raises(PolicyErrors) as raised:
        load_settings(written(tmp_path, STEP_UP.replace(before, after, 1)))
    (problem,) = raised.value.problems
    assert message in problem.message + "; " + problem.hint
    assert "\n" not in problem.message


def test_declared_headers_are_compared_in_lower_case(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, "policies: [p]\nrequest: {headers: [X-Tier]}"))
    assert settings.declared_headers == frozenset({"x-tier"})


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("policies: [p]\nstroe: 'memory:'", ":2:1", "unknown field `stroe`; did you mean `store`?"),
        ("policies: [p]\nlisten: {grcp: '1:1'}", ":2:10", "unknown field `grcp`; did you mean `grpc`?"),
        ("policies: [p]\nlisten:\n  grpc: nowhere", ":3:9", "not an address"),
        ("policies: [p]\nlisten:\n  grpc: 127.0.0.1:99999", ":3:9", "not an address"),
        ("policies: []", ":1:11", "must not be empty"),
        ("store: 'memory:'", ":1:1", "missing field `policies`"),
        ("- policies", ":1:1", "must be a mapping"),
        ("policies: [p]\n_env_file: x", ":2:1", "unknown field `_env_file`"),
        ("policies: [p]\npaths: {accept: [everything]}", ":2:18", "is not one of"),
        ("policies: [p]\npolicies: [q]", ":2:1", "duplicate key `policies`"),
        ("policies: [p", ":", "not YAML"),
        ("", "", "holds 0 documents"),
        ("policies: [p]\naudit:", ":2:7", "must not be empty"),
        ("policies: [p]\nidentity: {workload: {trust_domains: }}", ":2:38", "must not be empty"),
        ("policies: [p]\nidentity: {workload: {xfcc: {without_principal: yes}}}", ":2:49", "`true` or `false`"),
        (
            "policies: [p]\nrevocations: {max_staleness: 60}",
            ":2:30",
            "a duration without a unit; write `60s`, or `never`",
        ),
        ("policies: [p]\nrevocations: {max_staleness: soon}", ":2:30", "write `5m`, `1h30m` or `90s`, or `never`"),
        ("policies: [p]\nrevocations: {max_staleness: 500ms}", ":2:30", "write `1s` or more, or `never`"),
        ("policies: [p]\nrevocations: {max_stalenes: 1m}", ":2:15", "did you mean `max_staleness`?"),
        ("policies: [p]\nsessions: {touch_every: 500ms}", ":2:25", "not between a second and an hour; write `60s`"),
        ("policies: [p]\nsessions: {touch_every: 2h}", ":2:25", "not between a second and an hour; write `60s`"),
        ("policies: [p]\nsessions: {keep: 1h}", ":2:18", "shorter than a day; write `24h` or more"),
        ("policies: [p]\nclient: {trusted_hops: true}", ":2:24", "must be a whole number"),
        ("policies: [p]\nlisten: {tls: {certificate: a}}", ":2:15", "missing field `key`"),
        (
            "policies: [p]\nlisten:\n  tls: {certificate: a, key: b, callers: {authorities: c}}",
            ":3:42",
            "missing field `names`",
        ),
        (
            "policies: [p]\nlisten: {tls: {certificate: a, key: b, callers: {authorities: c, names: []}}}",
            ":2:73",
            "must not be empty",
        ),
        (
            "policies: [p]\nlisten: {tls: {certificate: a, key: b, callers: {authorities: c, names: ['*']}}}",
            ":2:74",
            "not a name of a certificate",
        ),
        (
            "policies: [p]\nlisten: {tls: {certificate: a, key: b, callers: {authorities: c, names: [g, 'any text']}}}",
            ":2:77",
            "not a name of a certificate; write `spiffe://prod.example.org/ns/mesh/sa/gateway`, or a host",
        ),
        ("policies: [p]\nlisten: {web: '127.0.0.1:9191'}", ":2:9", "`127.0.0.1:9191` is the address of two; each"),
        ("policies: [p]\nrequest: {headers: cookie}", ":2:20", "neither `all` nor a list of names; write `[cookie]`"),
        (
            "apiVersion: extauthz/v1\nkind: Policy\nmetadata: {name: p}",
            ":1:1",
            "a policy, no configuration; name its folder in one: `policies: [policies/]`",
        ),
    ],
)
def test_a_bad_configuration_is_told_with_its_place(tmp_path: Path, text: str, place: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ExtauthzError) as caught:
        load_settings(path)
    assert f"{path}{place}" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "identity: {users: [{name: a, issuer: 'https://a.example', audiences: [b], jwks: j, from: [authorisation]}]}",
        "identity: {workload: {trust_domains: [Prod]}}",
        "request: {hosts: ['*']}",
    ],
)
def test_the_only_element_of_a_list_is_told_once_if_it_is_wrong(tmp_path: Path, text: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        load_settings(written(tmp_path, f"policies: [p]\n{text}"))
    (problem,) = caught.value.problems
    assert "must not be empty" not in problem.message


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml: can't read the configuration: no such file"):
        load_settings(tmp_path / "nowhere.yaml")


def test_a_bad_environment_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTAUTHZ_POLICIES", "[unclosed")
    with pytest.raises(ConfigurationError, match=r"environment: .*policies"):
        load_settings(written(tmp_path, "policies: [p]"))


def test_settings_can_not_be_changed(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, "policies: [p]"))
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "store", "memory:")  # noqa: B010 - mypy knows that a plain assignment is wrong


def test_a_misspelt_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTAUTHZ_STROE", "memory:")
    with pytest.raises(ConfigurationError, match=r"EXTAUTHZ_STROE: no such setting; did you mean `EXTAUTHZ_STORE`"):
        load_settings(written(tmp_path, "policies: [p]"))


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("EXTAUTHZ_LISTEN__GPRC", "x", "no such setting; did you mean `EXTAUTHZ_LISTEN__GRPC`?"),
        ("extauthz_listen__gprc", "x", "no such setting; did you mean `EXTAUTHZ_LISTEN__GRPC`?"),
        ("EXTAUTHZ_LISTEN__ZZZ", "x", "no such setting; unset it"),
        ("EXTAUTHZ_CLIENT__TRUSTED_HPOS", "1", "no such setting; did you mean `EXTAUTHZ_CLIENT__TRUSTED_HOPS`?"),
        ("EXTAUTHZ_IDENTITY__WORKLOAD__XFCC__ACEPT", "last", "no such setting; did you mean `"),
        ("EXTAUTHZ_LISTEN__GRPC", "nowhere", "not an address; write "),
        ("EXTAUTHZ_LISTEN", '{"gprc": "127.0.0.1:1"}', "unknown field `gprc`; did you mean `grpc`?"),
        ("EXTAUTHZ_POLICIES", "[]", "must not be empty; "),
        ("EXTAUTHZ_BUNDLES", '[{"name": "p", "path": "p.tar.gz"}]', "missing field `key`"),
        ("EXTAUTHZ_AUDIT__KEEP__QUERY", '["amount"]', "missing field `path`"),
        ("EXTAUTHZ_CLIENT__TRUSTED_HOPS__X", "1", "must be "),
    ],
)
def test_what_is_wrong_in_the_environment_is_told_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    path = written(tmp_path, "policies: [p]\nlisten: {web: '127.0.0.1:2'}\nbundles: [{name: q, path: q, key: k}]")
    with pytest.raises(ExtauthzError) as caught:
        load_settings(path)
    assert str(caught.value).startswith(f"environment: {variable}: {told}")
    assert "extauthz.yaml" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_in_the_file_is_told_of_the_file_beside_a_variable_of_the_same_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTAUTHZ_LISTEN__GRPC", "nowhere")
    path = written(tmp_path, "policies: [p]\nlisten:\n  wbe: '127.0.0.1:2'\n  admin: nowhere")
    with pytest.raises(ExtauthzError) as caught:
        load_settings(path)
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        f"{path}:3:3",
        f"{path}:4:10",
        "environment",
    ]


@pytest.mark.parametrize("service", ["EXTAUTHZ", "EXTAUTHZ_WEB", "EXTAUTHZ_ADMIN_2"])
@pytest.mark.parametrize("name", ["SERVICE_HOST", "SERVICE_PORT_GRPC", "PORT", "PORT_9191_TCP_ADDR"])
def test_what_kubernetes_says_of_a_service_of_our_name_is_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str, name: str
) -> None:
    monkeypatch.setenv(f"{service}_{name}", "tcp://10.0.0.1:9191")
    assert load_settings(written(tmp_path, "policies: [p]")).store == "sqlite:///extauthz.db"


def test_a_port_that_somebody_wants_to_set_is_no_word_of_kubernetes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTAUTHZ_ADMIN_PORT", "9193")
    with pytest.raises(ConfigurationError, match="EXTAUTHZ_ADMIN_PORT: no such setting"):
        load_settings(written(tmp_path, "policies: [p]"))


@pytest.mark.parametrize("mode", ["0666", "0662", "0664", "0661", "0777"])
def test_no_socket_is_open_to_everybody_on_the_machine(tmp_path: Path, mode: str) -> None:
    path = written(tmp_path, f'policies: [p]\nlisten:\n  sockets: {{mode: "{mode}"}}')
    with pytest.raises(PolicyErrors) as refused:
        load_settings(path)
    assert str(refused.value) == (
        f"{path}:3:19: `{mode}` lets everybody on this machine ask for decisions;"
        ' write "0660", and give Envoy the group of the socket'
    )


@pytest.mark.parametrize("mode", ["0660", "0600", "0770", "0620"])
def test_a_socket_may_be_for_its_owner_and_group(tmp_path: Path, mode: str) -> None:
    path = written(tmp_path, f'policies: [p]\nlisten: {{sockets: {{mode: "{mode}"}}}}')
    assert load_settings(path).listen.made_sockets.mode == int(mode, 8)


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("tls: {certificate: c}", "2:1", "unknown field `tls`; it belongs under `listen` or under `approvals.email`"),
        ("max_staleness: 5s", "2:1", "unknown field `max_staleness`; it belongs under `revocations`"),
        ("webhooks: []", "2:1", "unknown field `webhooks`; it belongs under `approvals` or under `events`"),
        (
            "identity: {trust_domains: [a]}",
            "2:12",
            "unknown field `trust_domains`; it belongs under `identity.workload`",
        ),
        ("listen: {store: 'memory:'}", "2:10", "unknown field `store`; it belongs at the top of the file"),
        ("key: k.pem", "2:1", "unknown field `key`; did you mean `keys`?"),
        ("timeout: 5s", "2:1", "unknown field `timeout`"),
        ("nonsense: 1", "2:1", "unknown field `nonsense`"),
        ("LISTEN: {grpc: '127.0.0.1:1'}", "2:1", "unknown field `LISTEN`; did you mean `listen`?"),
    ],
)
def test_a_key_in_the_wrong_place_is_led_to_its_own(tmp_path: Path, text: str, place: str, hint: str) -> None:
    path = written(tmp_path, f"policies: [p]\n{text}")
    with pytest.raises(PolicyErrors) as refused:
        load_settings(path)
    assert str(refused.value) == f"{path}:{place}: {hint}"


def test_a_key_in_capitals_takes_no_place_of_another(tmp_path: Path) -> None:
    path = written(tmp_path, "policies: [p]\nstore: 'memory:'\nStore: 'sqlite:///other.db'\nPolicies: [q]")
    with pytest.raises(PolicyErrors) as refused:
        load_settings(path)
    assert [(one.line, one.hint) for one in refused.value.problems] == [
        (3, "did you mean `store`?"),
        (4, "did you mean `policies`?"),
    ]
