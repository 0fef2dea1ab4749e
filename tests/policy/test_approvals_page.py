"""What docs/approvals.md shows is what can be written, and every key of the block is told."""

import re
from pathlib import Path

import yaml
from policy.making import compiled, definitions, document, rule

from extauthz.policy.effect_models import ApproveBlock, Approvers
from extauthz.policy.rules import ApproveTerms
from extauthz.web.approvals_config import ApprovalsSettings

PAGE = (Path(__file__).parents[2] / "docs" / "approvals.md").read_text()
RULE, SETTINGS = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_the_rule_of_the_page_can_be_written() -> None:
    lists = definitions("d", lists={"frozen": ["acc-13"], "own_accounts": ["acc-1"]})
    variables = {"amount": "double(request.query.amount)"}
    policies = compiled(lists, document("p", rule("all", "allow"), *RULE, variables=variables))
    terms = policies.rules[1].terms
    assert isinstance(terms, ApproveTerms)
    assert (terms.voting.min, terms.voting.cooldown, terms.hold, len(terms.auto)) == (2, 600.0, 20.0, 2)


def test_the_settings_of_the_page_can_be_written() -> None:
    settings = ApprovalsSettings.model_validate(SETTINGS["approvals"])
    assert settings.persons.claim == "email"
    assert set(settings.schedules) == {"treasury"}


def test_every_key_of_the_block_is_told() -> None:
    table = PAGE.partition("## The block `approve`")[2].partition("\n## ")[0]
    told = set(re.findall(r"`([a-z_.]+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    assert set(ApproveBlock.model_fields) <= told
    nested = {"approvers.when", "approvers.factors", "approvers.max_age"}
    assert nested <= told
    assert set(Approvers.model_fields) == {"groups", "subjects", "when", "factors", "max_age"}
