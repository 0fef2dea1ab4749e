"""What completion answers, by the line and the place of the cursor in it."""

from pathlib import Path

import pytest

from extauthz.cli.completion.answer import Line, bash_line, candidates, completion, typed_line

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: shop}
spec: {rules: [{name: read, effect: allow}, {name: large, effect: deny}]}
"""


def offered(*words: str, begun: str = "", environ: dict[str, str] | None = None) -> list[str]:
    return [value for value, _ in candidates(Line(words, begun), environ or {})]


def test_commands_come_first() -> None:
    assert {"serve", "policy", "approvals", "health"} <= set(offered())
    assert offered(begun="pol") == ["policy"]
    assert offered("policy", begun="ch") == ["check"]


def test_options_are_offered_where_one_is_begun() -> None:
    assert offered("policy", "check", begun="--s") == ["--strict"]
    assert offered("audit", "find", begun="--or") == []


@pytest.mark.parametrize("words", [("--format",), ("somewhere", "--format"), ("--strict", "--format")])
def test_an_option_with_words_offers_these(words: tuple[str, ...]) -> None:
    assert offered("policy", "check", *words) == ["text", "json", "sarif"]
    assert offered("policy", "check", begun="--format=j") == ["--format=json"]


def test_words_that_are_known_elsewhere_are_offered_too() -> None:
    assert offered("approvals", "list", "--status", begun="p") == ["pending"]
    assert "no-rule-allows" in offered("audit", "find", "--reason", begun="no-")
    assert offered("audit", "find", "--event", begun="approval.br") == ["approval.broken-glass"]


def test_arguments_offer_their_words_and_the_others_files() -> None:
    assert offered("approvals", "review", "0123") == ["justified", "unjustified"]
    assert offered("policy", "check") == []
    assert offered("policy", "check", "--", begun="--s") == []


def test_rules_are_those_of_the_configured_policies(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "shop.yaml").write_text(POLICY)
    (tmp_path / "p" / "other.yaml").write_text("kind: PolicyTest\n---\n[a, list]\n")
    config = tmp_path / "c.yaml"
    config.write_text("policies: [p/]\n")
    assert offered("grants", "list", "--config", str(config), "--rule") == ["shop/large", "shop/read"]
    assert offered("grants", "list", "--rule", environ={"EXTAUTHZ_CONFIG": str(config)}) == ["shop/large", "shop/read"]


@pytest.mark.parametrize(
    "configuration", ["policies: [p/]", "policies: 7", "policies: [none.yaml]", "[", "\x00", "", "store: [1]"]
)
def test_a_broken_configuration_has_no_names(configuration: str, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(configuration)
    assert offered("grants", "list", "--config", str(config), "--rule") == []
    assert offered("approvals", "show", "--config", str(config)) == []


@pytest.mark.parametrize(
    ("words", "cursor", "line"),
    [
        (["extauthz", "pol"], 1, Line([], "pol")),
        (["extauthz", "policy", ""], 2, Line(["policy"], "")),
        (["extauthz", "x", "--format", "=", "js"], 4, Line(["x", "--format"], "js")),
        (["extauthz", "x", "--format", "="], 3, Line(["x", "--format"], "")),
        (
            ["extauthz", "x", "--subject", "spiffe", ":", "//a/b", "--f"],
            6,
            Line(["x", "--subject", "spiffe://a/b"], "--f"),
        ),
        (["extauthz", "'a b'", '"c'], 2, Line(["a b"], "c")),
    ],
)
def test_bash_splits_at_colons_and_equals_signs(words: list[str], cursor: int, line: Line) -> None:
    assert bash_line("\n".join(words), str(cursor)) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("extauthz pol", Line([], "pol")),
        ("extauthz policy ", Line(["policy"], "")),
        ("extauthz 'a b' \"c", Line(["a b"], "c")),
        ("", Line([], "")),
    ],
)
def test_other_shells_send_the_text(text: str, line: Line) -> None:
    assert typed_line(text) == line


@pytest.mark.parametrize("shell", ["complete_bash", "complete_zsh", "complete_fish"])
@pytest.mark.parametrize("words", ["", "x", "extauthz\nno-such\n--no\n", "extauthz\n\x00'\n\"", "\n" * 50])
def test_no_line_makes_it_fail(shell: str, words: str) -> None:
    asked = {"_EXTAUTHZ_COMPLETE": shell, "COMP_WORDS": words, "COMP_CWORD": "7", "_TYPER_COMPLETE_ARGS": words}
    assert completion(asked) is not None
    assert completion({"_EXTAUTHZ_COMPLETE": shell}) is not None


def test_a_shell_that_only_typer_knows_is_left_to_it() -> None:
    assert completion({"_EXTAUTHZ_COMPLETE": "complete_powershell"}) is None
