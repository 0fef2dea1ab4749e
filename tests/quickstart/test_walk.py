"""The walk believes Envoy's log and the response, and tells each difference."""

import io
import json
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from rich.console import Console

from extauthz.cli.quickstart.demo import Demo, start
from extauthz.cli.quickstart.invitation import Invitation
from extauthz.cli.quickstart.layout import Layout, prepare
from extauthz.cli.quickstart.people import WORKLOADS
from extauthz.cli.quickstart.processes import Processes
from extauthz.cli.quickstart.steps import STEPS
from extauthz.cli.quickstart.table import differences
from extauthz.cli.quickstart.walk import AccessLog, Walker

PRIVATE = {"issuer.key", "server.key", "alice.jwt", "bob.jwt", *(f"{name}.key" for name in WORKLOADS)}


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """What the quickstart runs."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder, Processes() as processes:
        yield start(prepare(Path(folder), now=datetime.now(UTC)), processes)


def test_each_difference_is_told_with_its_step(demo: Demo) -> None:
    first, second = STEPS[:2]
    wrong = (
        replace(first, expected=replace(first.expected, status=200, decision="allow", rule="payments/x")),
        second,
        replace(second, expected=replace(second.expected, answer=lambda _: "the service should sing")),
    )
    with Walker(demo.layout, demo.url, code="000000") as walker:
        told = list(differences(list(walker.walk(wrong))))
    assert told == [
        "step 1 (nobody reads an account): status should be `200`, is `401`",
        "step 1 (nobody reads an account): decision should be `allow`, is `deny`",
        "step 1 (nobody reads an account): rule should be `payments/x`, is `None`",
        "step 3 (finance/reports reads the ledger): the service should sing",
    ]


def test_the_code_on_screen_is_shown_for_as_long_as_is_said(demo: Demo) -> None:
    screen = io.StringIO()
    began = 1_800_000_000.0  # of a half minute
    spent = demo.authenticator.at(int(began))
    with Invitation(Console(file=screen, force_terminal=True), demo, spent=spent).live_code() as refresh:
        for seconds in (20.0, 40.0, 60.0):
            refresh(began + seconds)
    said = re.findall(r"(\d{6})[^,]*, good once; the next in (\d+) s", screen.getvalue())
    second, third = (demo.authenticator.at(int(began) + seconds) for seconds in (30, 60))
    assert list(dict.fromkeys(said)) == [(second, "40"), (second, "20"), (third, "30")]
    assert demo.layout.code.read_text() == third


def test_the_walk_shows_every_kind_of_decision() -> None:
    assert {step.expected.decision for step in STEPS} == {"allow", "deny", "challenge"}
    assert {step.expected.status for step in STEPS} >= {200, 201, 302, 400, 401, 403}


def test_a_line_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(json.dumps({"decision_id": "a", "status": 200}) + "\n" + '{"decision_id": "b", "sta')
    assert AccessLog(path).entry("a")["status"] == 200


@pytest.fixture
def layout() -> Iterator[Layout]:
    """A folder in which nothing runs."""
    with tempfile.TemporaryDirectory(prefix="extauthz-") as folder:
        yield prepare(Path(folder), now=datetime.now(UTC))


def test_keys_and_tokens_are_for_their_owner_alone(layout: Layout) -> None:
    assert stat.S_IMODE(layout.folder.stat().st_mode) == 0o700
    assert {path.name for path in layout.folder.iterdir()} >= PRIVATE
    for name in PRIVATE:
        assert stat.S_IMODE((layout.folder / name).stat().st_mode) == 0o600


def test_certificates_verify_and_an_svid_has_one_uri(layout: Layout) -> None:
    authority = x509.load_pem_x509_certificate(layout.ca.read_bytes())
    builder = PolicyBuilder().store(Store([authority]))
    server = x509.load_pem_x509_certificate(layout.server.certificate.read_bytes())
    builder.build_server_verifier(x509.DNSName("localhost")).verify(server, [])
    for name, spiffe_id in WORKLOADS.items():
        svid = x509.load_pem_x509_certificate(layout.workload(name).certificate.read_bytes())
        verified = builder.build_client_verifier().verify(svid, [])
        assert verified.subjects == [x509.UniformResourceIdentifier(spiffe_id)]
