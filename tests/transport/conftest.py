"""A checker for the transports to carry, and whole servers that carry one."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from checking import Bench, make_bench
from publishing import Page, Site, publishing
from serving import CONFIG, TRANSPORTS, Served, end, start

from extauthz.cli.quickstart.certificates import Authority, create_authority
from extauthz.store.memory import MemoryStore

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  variables:
    some: >-
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
      19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36]
  rules:
    - {name: open, paths: ["/open"], effect: allow}
    - name: users
      paths: ["/users"]
      when: has(user.sub)
      effect: allow
      allow: {headers: {x-authz-subject: user.sub}}
    - name: dear
      paths: ["/dear"]
      when: variables.some.all(a, variables.some.all(b, variables.some.all(c, a + b + c + size(request.path) > 0)))
      effect: allow
    - {name: recorded, paths: ["/recorded"], effect: allow, audit: required}
    - {name: anybody, paths: ["/proven"], effect: allow}
    - {name: proven, paths: ["/proven"], when: has(user.sub), effect: challenge, challenge: {factors: [totp]}}
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whoever issues certificates; its own is `ca.pem`."""
    return create_authority(tmp_path / "ca.pem", common_name="test", now=datetime.now(UTC))


@pytest.fixture
def bench() -> Bench:
    """A checker over a store in memory."""
    return make_bench(MemoryStore())


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The issuer of opaque tokens: every one is `u1`'s."""
    with publishing() as made:
        page = Page(
            body=json.dumps({"active": True, "token_type": "Bearer", "sub": "u1"}),
            headers={"content-type": "application/json"},
        )
        made.pages["/introspect"] = page
        yield made


@pytest.fixture(scope="module")
def site_folder(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Path:
    """A configuration whose users have tokens of the site."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "policies").mkdir()
    (folder / "policies" / "site.yaml").write_text(POLICY)
    (folder / "secret").write_text("s3cr3t\n")
    introspection = {
        "url": f"{site.url}/introspect",
        "client_id": "extauthz",
        "client_secret_file": "secret",
        "cache": "0s",
    }
    users = [{"name": "idp", "issuer": "https://idp.example.com", "introspection": introspection}]
    (folder / "extauthz.yaml").write_text(
        f"{CONFIG}store: 'memory:'\naudit: {{path: audit.jsonl}}\nidentity: {json.dumps({'users': users})}\n"
    )
    return folder


@pytest.fixture(scope="module", params=TRANSPORTS)
def served(request: pytest.FixtureRequest, site_folder: Path) -> Iterator[Served]:
    """A whole server, on each transport."""
    running = start(site_folder, request.param)
    yield running
    end(running)
