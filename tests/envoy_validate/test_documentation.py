"""docs/envoy-validate.md says of every rule what the command says of it."""

from pathlib import Path

from extauthz.envoy.validate.table import SUBJECTS, rows

PAGE = (Path(__file__).parents[2] / "docs" / "envoy-validate.md").read_text()


def test_the_page_has_the_table_of_rules_and_nothing_behind_it() -> None:
    _, _, tables = PAGE.partition("holds them together. -->\n")
    assert tables == rows()


def test_ids_are_used_once_and_words_are_those_of_the_house() -> None:
    rules = [rule for _, of_subject in SUBJECTS for rule in of_subject]
    assert len({rule.id for rule in rules}) == len(rules)
    for rule in rules:
        for said in (rule.means, rule.do):
            assert said[0].islower() or not said[0].isalpha() or said.startswith(("Envoy", "X-F", "Google", "Content"))
            assert not said.endswith(".")
            assert "|" not in said
            assert "\n" not in said
