"""What can be no id and nobody's name is a mistake of the command line, whatever there is: exit code 2, not 1."""

from pathlib import Path

import pytest
from commanding import command

CONFIG = """
policies: [p/]
store: sqlite:///x.db
audit: {path: audit.jsonl}
identity: {users: [{name: idp, issuer: "https://idp.example.com", audiences: [shop], jwks: jwks.json}]}
"""
API = ("--url", "http://127.0.0.1:9")
WHOLE = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "extauthz.yaml").write_text(CONFIG)
    (tmp_path / "p").mkdir()
    (tmp_path / "audit.jsonl").touch()
    return tmp_path


@pytest.mark.parametrize("id_", ["", "x", "abc", " abcd", "../../x", "ab cd", "0f0f-0f0f", "äbcdef", WHOLE + "0"])
@pytest.mark.parametrize(
    "words",
    [
        ("approvals", "show"),
        ("approvals", "show", *API),
        ("approvals", "approve", *API),
        ("approvals", "deny", *API),
        ("approvals", "cancel", *API),
        ("approvals", "revoke", *API),
        ("approvals", "deliveries", "replay"),
        ("approvals", "deliveries", "replay", WHOLE),
    ],
    ids=" ".join,
)
def test_what_can_be_no_id_is_a_mistake_of_the_command_line(folder: Path, words: tuple[str, ...], id_: str) -> None:
    ended = command(*words, id_, folder=folder)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"extauthz {words[0]} {words[1]} " in ended.stderr.partition("\n")[0]
    assert "is no id" in ended.stderr or "is too short" in ended.stderr


@pytest.mark.parametrize("words", [("approvals", "show"), ("approvals", "deliveries", "replay")], ids=" ".join)
def test_an_id_that_is_not_there_is_none_of_the_command_line(folder: Path, words: tuple[str, ...]) -> None:
    for id_ in ("abcd", WHOLE):
        ended = command(*words, id_, folder=folder)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("name", ["", " ", "spiffe://", "spiffe://Prod.example.org/web", "spiffe://x/%"])
@pytest.mark.parametrize(
    "words",
    [
        ("grants", "list", "--subject"),
        ("grants", "revoke", "--subject"),
        ("devices", "list"),
        ("devices", "revoke", "--all"),
        ("subjects", "list"),
        ("subjects", "block"),
        ("subjects", "unblock"),
        ("subjects", "revoke"),
        ("approvals", "list", "--subject"),
    ],
    ids=" ".join,
)
def test_what_can_be_nobodys_name_is_a_mistake_of_the_command_line(
    folder: Path, words: tuple[str, ...], name: str
) -> None:
    ended = command(*words, name, folder=folder)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"extauthz {words[0]} {words[1]} " in ended.stderr.partition("\n")[0]
    assert "has no name" in ended.stderr or "is no SPIFFE ID" in ended.stderr


@pytest.mark.parametrize("words", [("factors", "list"), ("factors", "reset")], ids=" ".join)
def test_a_user_without_a_name_has_no_factors(folder: Path, words: tuple[str, ...]) -> None:
    ended = command(*words, " ", folder=folder)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "has no name" in ended.stderr


@pytest.mark.parametrize("verb", [("find",), ("export", "--out", "x.csv"), ("tail", "--lines", "1")])
@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--id", ""),
        ("--subject", " "),
        ("--trace", ""),
        ("--trace", "0af7"),
        ("--trace", "0AF7651916CD43DD8448EB211C80319C"),
        ("--workload", ""),
        ("--workload", "web"),
    ],
)
def test_records_of_what_can_be_no_id_are_not_looked_for(
    folder: Path, verb: tuple[str, ...], option: str, text: str
) -> None:
    ended = command("audit", *verb, option, text, folder=folder)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"Invalid value for {option}: " in ended.stderr
    assert not (folder / "x.csv").exists()
