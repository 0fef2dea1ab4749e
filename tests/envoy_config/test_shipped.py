"""The files in `envoy/` are what the command writes, and what they are for is said in them."""

import re
import sys
from pathlib import Path
from subprocess import run

import pytest
import yaml
from envoy_config.writing import tree, written

FOLDER = Path(__file__).parents[2] / "envoy"
KINDS = ("gateway", "sidecar", "workers", "approvals")


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_file_is_what_the_command_writes(kind: str) -> None:
    assert written(kind) == (FOLDER / f"{kind}.yaml").read_text(), "run `make envoy`"


def test_no_other_file_is_shipped_as_a_configuration() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_json_says_the_same(kind: str) -> None:
    assert yaml.safe_load(written(kind, "--format", "json")) == tree(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_comments_fit_and_nothing_is_said_twice(kind: str) -> None:
    comments: list[str] = []
    for line in written(kind).splitlines():
        code, mark, comment = line.partition("# ")
        assert len(line) <= 120 or not mark, line
        if not code.strip() and "Yours" not in comment:
            comments.append(comment)
    long = [comment for comment in comments if len(comment) > 60]
    assert long
    assert len(long) == len(set(long))


def test_who_names_everything_has_nothing_left_to_change() -> None:
    named = written(
        "gateway",
        *("--service", "127.0.0.1:1", "--listen", "127.0.0.1:2", "--extauthz", "127.0.0.1:3", "--admin", "none"),
        *("--certificate", "c.pem", "--key", "c.key", "--ca", "ca.pem"),
    )
    assert not re.search(r"#.*Yours: ", named)
    assert re.search(r"#.*Yours: ", written("gateway"))


def test_the_server_imports_none_of_envoys_messages() -> None:
    """They take a second, and none of them is on the path of a request."""
    probe = (
        "import sys, extauthz.cli.commands, extauthz.cli.serve, extauthz.app.server, extauthz.cli.envoy;"
        "sys.exit(any(name.startswith(('envoy_data_plane', 'betterproto2')) for name in sys.modules))"
    )
    assert run([sys.executable, "-c", probe], check=False, timeout=60).returncode == 0
