"""`extauthz approvals link`: who is logged in by it, and where it leads."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from commanding import Ended, command

from extauthz.stepup.approver_login import LINK_PATH, open_link
from extauthz.stepup.keys import parse_keys
from extauthz.values.identity import Subject

URL, ISSUER = "https://approvals.example.com", "https://people.example.com"
CONFIG = f"""
policies: [policies.yaml]
store: sqlite:///state.db
approvals:
  url: {URL}
  persons: {{claim: email}}
  login: {{issuer: "{ISSUER}", client_id: extauthz}}
"""


def link(folder: Path, *arguments: str, config: str = CONFIG) -> Ended:
    (folder / "extauthz.yaml").write_text(config)
    return command("approvals", "link", *arguments, folder=folder)


def test_a_link_says_who_logs_in_with_it(tmp_path: Path) -> None:
    ended = link(
        tmp_path, "a1", "--person", "Anna@Example.com", "--group", "treasury", "--group", "board", "--format", "json"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    said = json.loads(ended.stdout)
    assert (said["person"], said["groups"]) == ("anna@example.com", ["treasury", "board"])
    address = urlsplit(said["link"])
    assert (f"{address.scheme}://{address.netloc}", address.path) == (URL, LINK_PATH)
    opened = open_link(parse_qs(address.query)["link"][0], parse_keys((tmp_path / "keys.json").read_text()))
    assert (opened.subject, opened.person) == (Subject(ISSUER, "a1"), "anna@example.com")
    assert opened.groups == ("treasury", "board")
    assert opened.expires_at == opened.issued_at + 3600


def test_people_are_told_to_keep_it_to_themselves(tmp_path: Path) -> None:
    ended = link(tmp_path, "a1", "--person", "anna@example.com")
    assert ended.stdout.startswith(f"{URL}{LINK_PATH}?link=")
    assert "Give it to `anna@example.com` and to nobody else." in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "config", "code", "said"),
    [
        (("--person", " "), CONFIG, 2, "--person: names nobody"),
        (("--person", "a", "--group", "on-call:night"), CONFIG, 2, "--group: `on-call:night`: who is on call is said"),
        (("--person", "a", "--valid-for", "8d"), CONFIG, 2, "--valid-for: `8d`: write more than nothing and at most"),
        (("--person", "a", "--issuer", "https://other.example"), CONFIG, 2, "--issuer: `https://other.example` is not"),
        (("--person", "a"), "policies: [policies.yaml]\n", 1, "`approvals.url` is missing"),
        (
            ("--person", "a"),
            f"policies: [policies.yaml]\napprovals: {{url: '{URL}'}}\n",
            2,
            "--issuer: name it: neither `approvals.login` nor `approvals.tokens`",
        ),
    ],
)
def test_a_link_for_nobody_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], config: str, code: int, said: str
) -> None:
    ended = link(tmp_path, "a1", *arguments, config=config)
    assert ended.returncode == code
    assert ended.stdout == ""
    assert said in ended.stderr
