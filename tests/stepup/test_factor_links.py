"""`extauthz factors link`: where it leads, for how long, and that it names nobody."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from commanding import command
from stepup.enrolling import CONFIGURATION, ISSUER, call

from extauthz.app.wiring import load_keys
from extauthz.settings import load_settings
from extauthz.stepup.enrolment import Invitation, open_invitation
from extauthz.values.identity import Subject
from extauthz.values.instant import instant


def invited(output: str, config: Path) -> tuple[str, Invitation]:
    """The address that was printed first, and what its link says."""
    address = output.splitlines()[0]
    parts = urlsplit(address)
    (text,) = parse_qs(parts.query)["ticket"]
    return f"{parts.scheme}://{parts.netloc}{parts.path}", open_invitation(text, load_keys(load_settings(config)))


def test_a_link_names_the_page_and_nobody(config: Path) -> None:
    before = time.time()
    output = call("enroll", "alice", "--link", "--base-url", "https://app.example.com/", config=config)
    page, invitation = invited(output, config)
    assert page == "https://app.example.com/.extauthz/enroll"
    assert "alice" not in output.splitlines()[0]
    assert (invitation.subject, invitation.grounds) == (Subject(ISSUER, "alice"), "administrator")
    assert 86_400 <= invitation.expires_at - before <= 86_500
    assert json.loads(call("list", "--format", "json", config=config)) == []


def test_a_link_leads_to_the_only_origin_that_asks_for_keys(config: Path) -> None:
    known = "stepup: {webauthn: {id: example.com, origins: [%s]}}\n"
    config.write_text(CONFIGURATION + known % '"https://app.example.com"')
    page, _ = invited(call("enroll", "alice", "--link", config=config), config)
    assert page == "https://app.example.com/.extauthz/enroll"
    config.write_text(CONFIGURATION + known % '"https://app.example.com", "https://b.example.com"')
    refused = command("factors", "enroll", "alice", "--link", folder=config.parent)
    assert (refused.returncode, "--link: needs --base-url" in refused.stderr) == (2, True)


def test_a_link_for_programs_says_until_when(config: Path) -> None:
    arguments = ("--link", "--base-url", "https://localhost:8443", "--valid-for", "90m", "--format", "json")
    answer = json.loads(call("enroll", "alice", *arguments, config=config))
    assert set(answer) == {"sub", "issuer", "link", "expires"}
    _, invitation = invited(answer["link"], config)
    assert answer["expires"] == instant(invitation.expires_at)
    assert 5400 <= invitation.expires_at - time.time() + 60 <= 5460


def test_a_link_at_a_terminal_comes_with_a_picture(config: Path) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "extauthz", "factors", "enroll", "alice", "--link"]
    process = subprocess.Popen(
        [*command, "--base-url", "https://app.example.com", "--config", str(config)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    seen = b""
    try:
        while b"nobody else" not in seen:
            seen += os.read(controller, 65_536)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        os.close(controller)
    text = seen.decode()
    assert text.startswith("https://app.example.com/.extauthz/enroll?ticket=")
    assert "\u2584" in text or "\u2580" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--link",), "--link: needs --base-url"),
        (("--base-url", "https://a.example"), "belongs to --link"),
        (("--link", "--confirm", "123456"), "is another way than --confirm"),
        *(
            (("--link", "--base-url", url), "is no origin")
            for url in (
                "http://app.example.com",
                "https://app.example.com/path",
                "https://app.example.com?x",
                "https://u@app.example.com",
                "https://",
                "https://app.example.com:x",
                "app.example.com",
            )
        ),
        *(
            (("--link", "--base-url", "https://a.example", "--valid-for", time_), "--valid-for")
            for time_ in ("soon", "8d", "0s", "-1h")
        ),
    ],
)
def test_a_link_that_could_not_be_used_is_not_made(config: Path, arguments: tuple[str, ...], message: str) -> None:
    refused = command("factors", "enroll", "alice", *arguments, folder=config.parent)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert message in refused.stderr
