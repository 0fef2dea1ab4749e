"""Secrets come out nowhere: every setting that holds one holds a canary, and all that the server says is searched."""

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import cast

import grpc
import httpx
import pytest
from commanding import command
from hardening.secret_settings import PRINCIPAL, Planted, plant, secret_settings
from otlp_receivers import Receiver, over_http
from patience import comes
from serving import Served, start

from extauthz.app.compiling import Compiler, Sources
from extauthz.app.decision_index import DecisionIndex
from extauthz.app.doctor.deployment import Deployment
from extauthz.app.exposed import named_files
from extauthz.app.informants import Informants
from extauthz.app.link import Assignment
from extauthz.app.providers import Providers
from extauthz.app.tellers import make_deliveries
from extauthz.app.wiring import load_keys, open_configured_store
from extauthz.app.worker import Launch
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.lookup.attributes.sources import AttributeSources
from extauthz.policy.declared import NOTHING_DECLARED
from extauthz.record.audit_line import DecisionLine
from extauthz.settings import Settings, load_settings
from extauthz.transport.methods import CHECK
from extauthz.web.decisions.drafts import Drafts
from extauthz.wire.compose import check_request

FAILED = [f'extauthz_deliveries_total{{result="failed",sink="{sink}"}}' for sink in ("chat", "siem", "email")]


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return plant(tmp_path)


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with over_http() as receiver:
        yield receiver


def test_every_setting_with_a_secret_has_a_canary(planted: Planted) -> None:
    """A new setting needs one here; and whoever names a file knows that a secret is in it."""
    assert set(secret_settings(Settings)) - {"listen.tls.key"} <= planted.canaries.keys()
    settings = load_settings(planted.config)
    for named in named_files(settings):
        text = named.path.read_text() if named.path.is_file() else ""
        setting = named.setting.removesuffix(".file").removesuffix(".x-key")
        assert named.secret == bool(planted.found_in(text)), f"{setting}: {named.path}"


def ask(served: Served, path: str, **headers: str) -> None:
    """A Check of a workload; whatever comes of it."""
    with grpc.insecure_channel(served.said["grpc"]) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
        with suppress(grpc.RpcError):
            asked = check_request(
                host="example.com", path=path, headers=headers, principal=PRINCIPAL, source_ip="192.0.2.7"
            )
            check(asked, timeout=10)


def processes_of(served: Served) -> Iterator[int]:
    """The server's and those that it has started."""
    for one in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            if os.getsid(int(one.name)) in {served.process.pid, int(one.name)} and _descends(int(one.name), served):
                yield int(one.name)


def _descends(pid: int, served: Served) -> bool:
    while pid > 1:
        if pid == served.process.pid:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def test_a_server_tells_no_secret(planted: Planted, collector: Receiver, transport: str) -> None:
    """Through start, decisions, those that nobody answers, wrong tokens, a reload and one that is refused."""
    tracing = planted.made("OTEL_EXPORTER_OTLP_HEADERS")
    environ = {
        **planted.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={tracing}",
    }
    said: list[str] = []
    served = start(planted.folder, transport, **environ)
    try:
        for path in ("/one", "/approve", "/asks", "/users", "//bad", "/no-rule"):
            ask(served, path)
        ask(served, "/users", authorization="Bearer opaque-token")
        ask(served, "/one", **{"x-workload": "header.payload.signature"})
        for token in ("wrong-token-of-nobody", planted.canaries["admin.token"]):
            said += _said(f"http://{served.said['admin']}", "/v1/subjects/alice", token)
            said += _said(f"http://{served.said['web']}", "/.extauthz/signals/idp", token)
            said += _said(f"http://{served.said['approvals']}", "/v1/approvals", token)
        said += [" ".join(Path(f"/proc/{pid}/cmdline").read_text().split("\0")) for pid in processes_of(served)]
        served.process.send_signal(signal.SIGHUP)
        served.next_event("reloaded")
        (planted.folder / "keys.json").write_text("{broken")
        (planted.folder / "jwks.json").write_text(json.dumps({"keys": planted.canaries["admin.token"]}))
        served.process.send_signal(signal.SIGHUP)
        assert comes(lambda: all(served.metric(one) > 0 for one in FAILED))
        collector.wait_for(lambda one: len(one.spans) > 3)
        said += [served.probe(path).text for path in ("/metrics", "/ready", "/live")]
    finally:
        served.process.terminate()
        _, rest = served.process.communicate(timeout=60)
    said += [json.dumps(line) for line in served.heard]
    said.append(rest)
    assert '"stopped"' in rest
    said += [str(one) for one in (*collector.requests, *collector.metrics)]
    said.append((planted.folder / "audit.jsonl").read_text())
    assert collector.headers[0]["x-key"] == tracing  # it got where it belongs
    assert planted.found_in("\n".join(said)) == []


def _said(origin: str, path: str, token: str) -> Iterator[str]:
    for method in ("GET", "POST", "PUT"):
        headers = {"authorization": f"Bearer {token}", "host": "approvals.example.com"}
        answer = httpx.request(method, f"{origin}{path}", headers=headers)
        yield f"{answer.headers} {answer.text}"


def test_a_store_out_of_reach_and_a_bad_file_tell_no_secret(planted: Planted) -> None:
    """Commands that end with an error, as people and as programs read them."""
    password = planted.made("store")
    redis = {**os.environ, **planted.environ, "EXTAUTHZ_STORE": f"redis://us:{password}@127.0.0.1:1/0"}
    good = {**os.environ, **planted.environ}
    tries: list[tuple[tuple[str, ...], Mapping[str, str]]] = []
    for environ in (good, redis, {**redis, "EXTAUTHZ_STORE": f"redis://us:{password}#@[bad/x"}):
        for arguments in (
            ("grants", "list", "alice"),
            ("deliveries",),
            ("subjects", "show", "alice"),
            ("factors", "list", "alice"),
            ("policy", "check", "policies"),
            ("keys", "list"),
        ):
            tries += [
                ((*arguments, "--config", "extauthz.yaml", "--format", form), environ) for form in ("text", "json")
            ]
    said = []
    for words, variables in tries:
        ended = command(*words, folder=planted.folder, environ=variables)
        said.append(f"{words}: {ended.stdout} {ended.stderr}")
        assert "Traceback" not in ended.stderr, said[-1]
    assert any("127.0.0.1:1" in one for one in said)  # it was asked for
    assert planted.found_in("\n".join(said)) == []
    for name in ("keys.json", "secret-1"):
        path = planted.folder / name
        before = path.read_text()
        path.write_text(f"{before}\n\u2028{before}")
        ended = command("keys", "list", "--config", "extauthz.yaml", folder=planted.folder, environ=good)
        assert planted.found_in(ended.stdout + ended.stderr) == []
        path.write_text(before)


def test_nothing_that_is_made_of_the_settings_shows_a_secret(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever might be put into a message or a log: no `repr`, `str` or format has a secret in it."""
    password = planted.made("store")
    monkeypatch.setenv("EXTAUTHZ_STORE", f"redis://us:{password}@127.0.0.1:1/0")
    for name, value in planted.environ.items():
        monkeypatch.setenv(name, value)

    async def shown() -> str:
        settings = load_settings(planted.config)
        store = open_configured_store(settings)
        kept: list[object] = [settings, store, load_keys(settings)]
        kept.append(make_deliveries(settings, planted.environ, store=store))
        kept.append(Informants(settings.identity, base=settings.base))
        kept.append(Providers(settings.stepup.oidc, base=settings.base))
        kept.append(AttributeSources(settings.attributes, base=settings.base))
        feed = RevocationFeed(store, max_staleness=60)
        kept.append(feed)
        ours = [one for one in gc.get_objects() if str(type(one).__module__).startswith("extauthz.")]
        await store.close()
        assert len(ours) > len(kept)
        return "\n".join(f"{one!r} {one!s} {one}" for one in (*kept, *ours))

    text = asyncio.run(shown())
    assert planted.found_in(text) == []


def test_processes_that_need_no_secret_get_none(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that compile, try a draft and keep the index; each tells by a Python that writes down what it was given."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ntr "\\0" "\\n" < /proc/self/environ > "{tmp_path}/given.$$"\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("EXTAUTHZ_STORE", f"redis://:{planted.made('store')}@127.0.0.1")
    monkeypatch.setenv("SOME_SECRET", planted.made("a variable"))

    async def each() -> None:
        index = asyncio.create_task(DecisionIndex(tmp_path / "audit.jsonl", tmp_path / "index.db").follow())
        line = cast("DecisionLine", {"draft": "of nothing"})
        await Drafts(declared=NOTHING_DECLARED).tried("", line)
        await asyncio.to_thread(Compiler().compile, Sources(paths=(planted.folder / "policies",)))
        assert await asyncio.to_thread(comes, lambda: len(list(tmp_path.glob("given.*"))) == 3)
        index.cancel()
        await asyncio.wait((index,))

    asyncio.run(each())
    given = "\n".join(one.read_text() for one in tmp_path.glob("given.*"))
    assert "PATH=" in given
    assert planted.found_in(given) == []


@pytest.mark.parametrize("kind", [Assignment, Deployment, Launch])
def test_what_has_the_environment_does_not_show_it(kind: type) -> None:
    (environ,) = [one for one in fields(kind) if one.name == "environ"]
    assert not environ.repr
