"""What docs/signals.md says is so: its configuration and its policy load, its tables name what there is."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from extauthz.cli.commands import app
from extauthz.identity.signals import events
from extauthz.policy.context import REPORTED
from extauthz.policy.load import load_text
from extauthz.settings import load_settings
from extauthz.web.openapi import OPENAPI

PAGE = (Path(__file__).parents[2] / "docs" / "signals.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("begins", ["# extauthz.yaml", "admin:"])
def test_the_configuration_loads(tmp_path: Path, begins: str) -> None:
    (block,) = (one for one in BLOCKS if one.startswith(begins))
    (tmp_path / "extauthz.yaml").write_text("policies: [p/]\n" + block)
    settings = load_settings(tmp_path / "extauthz.yaml")
    if begins == "admin:":
        assert settings.admin.token is not None
    else:
        (one,) = settings.signals.transmitters
        assert (one.leeway, one.max_age, one.keep) == (30.0, 7 * 86_400.0, 30 * 86_400.0)
        assert (
            one.model_dump(include={"leeway", "max_age", "keep"}).items()
            <= {name: field.default for name, field in type(one).model_fields.items()}.items()
        ), "these are the defaults"


def test_the_policies_load_and_their_test_passes(tmp_path: Path) -> None:
    policies = [one for one in BLOCKS if one.startswith("apiVersion")]
    assert [len(load_text(block, "page.yaml").rules) for block in policies] == [3, 2]
    (tmp_path / "page.yaml").write_text(policies[1])
    result = CliRunner().invoke(app, ["policy", "test", str(tmp_path)])
    assert (result.exit_code, "2 passed, 0 failed" in result.output) == (0, True)


def test_every_field_and_every_event_is_told() -> None:
    for field in REPORTED.fields:
        assert f"`{field}`" in PAGE or f"`reported.{field}`" in PAGE
    for event in (*events._EVENTS, *events._NOTED):
        assert f"`{event.rpartition('/')[2]}`" in PAGE


def test_every_order_of_the_api_is_told() -> None:
    for path, operations in OPENAPI["paths"].items():
        for verb in operations:
            assert f"`{verb.upper()} {path}" in PAGE
