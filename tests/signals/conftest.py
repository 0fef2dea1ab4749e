"""A configuration with a transmitter and an API for subjects, and servers that are started with it."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lookup.deciding import key_set, source
from serving import CONFIG, Serve, Served, end, start
from signals.transmitting import IDP, ISSUER, KEY, SECRET, TOKEN, written

from extauthz.stepup.keys import SECRET_BYTES, generate_key

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: users, paths: ["/users"], when: has(user.sub), effect: allow}
    - {name: calm, paths: ["/calm"], when: has(user.sub), effect: allow}
    - {name: risky, paths: ["/calm"], when: 'has(reported.risk_level) && reported.risk_level == "HIGH"', effect: deny,
       deny: {reason: too-risky}}
    - {name: open, paths: ["/open"], effect: allow}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration whose store is in a folder of its own."""
    return configured(tmp_path)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of which nothing is asked that it does: one for all tests of a file that hold it to that."""
    served = start(configured(tmp_path_factory.mktemp("untouched")), "grpcio")
    yield served
    end(served)


def configured(folder: Path) -> Path:
    """The folder with the configuration in it."""
    for name in ("policies", "state"):
        (folder / name).mkdir()
    (folder / "policies" / "site.yaml").write_text(POLICY)
    (folder / "jwks.json").write_text(key_set(IDP))
    (folder / "ssf.json").write_text(key_set(KEY))
    (folder / "ssf.secret").write_text(SECRET + "\n")
    (folder / "admin.token").write_text(TOKEN + "\n")
    (folder / "keys.json").write_text(generate_key(os.urandom(SECRET_BYTES), created=int(time.time())))
    signals = {"transmitters": [written(secret={"file": "ssf.secret"}, about={"issuers": [ISSUER]})]}
    blocks = {
        "store": "sqlite:///state/extauthz.db",
        "revocations": {"max_staleness": "1s"},
        "signals": signals,
        "admin": {"token": {"file": "admin.token"}},
        "identity": {"users": [source(jwks="jwks.json")]},
    }
    lines = [f"{name}: {json.dumps(block)}" for name, block in blocks.items()]
    (folder / "extauthz.yaml").write_text("\n".join([CONFIG, *lines]) + "\n")
    return folder


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Starts servers; ends those that a test leaves behind."""
    started: list[Served] = []

    def starting(**environ: str) -> Served:
        started.append(start(folder, "grpcio", **environ))
        return started[-1]

    yield starting
    for served in started:
        end(served)
