"""What `docs/habits.md` shows can be loaded as it stands, and its figures are those of the code."""

import re
import textwrap
from pathlib import Path
from typing import Final

import pytest

from extauthz.policy.context import DEVICE
from extauthz.policy.functions import BASELINE, LONGEST_KEY, LONGEST_WINDOW, SHORTEST_WINDOW
from extauthz.policy.load import load_text
from extauthz.risk.sketch import HALF_LIFE
from extauthz.risk.sliding import STEPS
from extauthz.settings import load_settings
from extauthz.stepup.devices import MOST_SUBJECTS
from extauthz.store.devices import MOST_DEVICES
from extauthz.store.habits import BASELINE_SECONDS, DAY, MOST_BASELINES, MOST_SEEN, SEEN_SECONDS

PAGE: Final = (Path(__file__).parents[2] / "docs" / "habits.md").read_text()
BLOCKS: Final = [textwrap.dedent(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
HEAD: Final = "apiVersion: extauthz/v1\nkind: Policy\nmetadata: {name: page}\n"


def blocks(start: str) -> list[str]:
    return [block for block in BLOCKS if block.startswith(start)]


def test_its_policies_load() -> None:
    rules, whole = blocks("- name:"), blocks("spec:")
    assert (len(rules), len(whole)) == (3, 1)
    assert len(load_text(HEAD + whole[0]).rules) == 1
    text = HEAD + "spec:\n  rules:\n" + textwrap.indent("".join(rules), "    ")
    assert len(load_text(text).rules) == 3


def test_its_settings_load(tmp_path: Path) -> None:
    (shown,) = blocks("# extauthz.yaml")
    file = tmp_path / "extauthz.yaml"
    file.write_text("policies: [policies]\n" + shown)
    devices = load_settings(file).devices
    assert devices.lifetime == 90 * DAY
    assert devices.telling_headers == {"x-device-id"}


def test_it_tells_of_every_field() -> None:
    assert all(f"`device.{name}`" in PAGE for name in DEVICE.fields)
    assert all(f"`{name}`" in PAGE for name in BASELINE.fields)


@pytest.mark.parametrize(
    "said",
    [
        f"at most {LONGEST_KEY} characters",
        f"counted in {STEPS} steps",
        f"A subject has {MOST_SEEN} keys",
        f"A subject has {MOST_BASELINES} baselines",
        f"forgotten {SEEN_SECONDS / DAY:g} days after",
        f"half as much after {HALF_LIFE / DAY:g} days",
        f"for {BASELINE_SECONDS / DAY:g} days is gone",
        f"{MOST_DEVICES} devices of a subject are listed",
    ],
)
def test_its_figures_are_those_of_the_code(said: str) -> None:
    assert said in PAGE


def test_its_words_for_figures_are_those_of_the_code() -> None:
    assert (SHORTEST_WINDOW, LONGEST_WINDOW / DAY) == (1, 31)
    assert "from a second to 31 days" in PAGE
    assert MOST_SUBJECTS == 8
    assert "last eight subjects" in PAGE
