"""Text as Envoy reads it; and what is refused, in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from commanding import command

from extauthz.envoy.validate.reading import MAX_DEPTH, UnreadableEnvoy, read
from extauthz.envoy.validate.run import validate
from extauthz.envoy.validate.spots import Spot

GOOD = (Path(__file__).parent / "samples" / "good.yaml").read_text()


def root(text: str) -> Spot:
    (node,) = read(text, "envoy.yaml")
    return Spot("envoy.yaml", (), node.line, node)


def deep(levels: int) -> str:
    return "a: " + "[" * levels + "]" * levels


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "envoy.yaml:2:1: neither YAML nor JSON: "),
        ("a: 1\n\tb: 2", "envoy.yaml:2:1: neither YAML nor JSON: "),
        ("a: \x01", "envoy.yaml: holds a character that YAML does not allow"),
        ("a: 1\na: 2", "envoy.yaml:2:1: `a` is written twice"),
        ("x: &x {a: 1}\ny: {<<: *x}", "envoy.yaml:2:5: Envoy knows no merge key `<<`"),
        ("a: !!python/object:os.system {}", "envoy.yaml:1:4: the tag `tag:yaml.org,2002:python/object:os.system`"),
        ("a: *nobody", "envoy.yaml:1:4: nothing before it is called `nobody`"),
        ("a: &a [*a]", "envoy.yaml:1:8: nothing before it is called `a`"),
        ("? [a]\n: b", "envoy.yaml:1:3: a key must be text"),
        (deep(MAX_DEPTH), f"envoy.yaml:1:{MAX_DEPTH + 3}: nested deeper than {MAX_DEPTH} levels"),
        (f"a: &a {deep(60)[3:]}\nb: {'[' * 60}*a{']' * 60}", "nested deeper than 100 levels"),
        (bomb(9), "more than 1000000 values with those behind aliases"),
        ("x" * (8 * 1024 * 1024 + 1), "envoy.yaml: longer than 8388608 characters; split it"),
        ("", "envoy.yaml: holds nothing"),
        ("just words", "envoy.yaml: holds nothing"),
        ("- 1", "envoy.yaml:1: no configuration of Envoy"),
        ("a: 1", "envoy.yaml:1: no configuration of Envoy"),
        ("apiVersion: v1\nkind: Service", "envoy.yaml:1: a resource of Kubernetes (`Service`)"),
    ],
)
def test_what_can_not_be_read_is_told_in_one_line_with_its_place(text: str, told: str) -> None:
    with pytest.raises(UnreadableEnvoy) as error:
        validate([("envoy.yaml", text)])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["a: [", bomb(12), "a: 1", ""], ids=["malformed", "bomb", "other", "empty"])
def test_the_command_ends_in_one_line_and_with_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "envoy.yaml").write_text(text)
    ended = command("envoy", "validate", "envoy.yaml", folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("extauthz: envoy.yaml")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("written", ["true", "True", "yes", "on", "y", "ON"])
def test_truth_is_written_as_envoy_takes_it(written: str) -> None:
    assert root(f"a: {written}")["a"].flag()
    assert not root(f'a: "{written}x"')["a"].flag()


def test_a_failure_mode_that_says_yes_is_found() -> None:
    text = GOOD.replace(
        "transport_api_version: V3", "transport_api_version: V3\n                      failure_mode_allow: yes"
    )
    assert [one.rule for one in validate([("envoy.yaml", text)])] == ["failure-mode-allow"]


def test_an_enumeration_may_be_written_by_its_number() -> None:
    text = GOOD.replace("forward_client_cert_details: SANITIZE_SET", "forward_client_cert_details: 4")
    assert [one.rule for one in validate([("envoy.yaml", text)])] == ["xfcc-forwarded"]


def test_null_is_a_field_that_nobody_has_set() -> None:
    text = GOOD.replace("normalize_path: true", "normalize_path: null")
    assert [one.rule for one in validate([("envoy.yaml", text)])] == ["path-unnormalized"]


def test_what_an_alias_stands_for_is_read_at_each_place() -> None:
    spot = root("x: &x {timeout: 1.5s}\ny: [*x, {timeout: 2s}]")
    assert [one["timeout"].seconds() for one in spot["y"].items] == [1.5, 2.0]
    assert spot["y"].items[0]["timeout"].path == "y[0].timeout"
    assert spot["y"].items[0]["timeout"].line == 1


def test_a_place_is_the_line_of_the_key_and_the_way_to_it() -> None:
    spot = root("a:\n  b.c:\n    - d: 1\n    - d:\n        e: 2\n")
    e = spot.at("a", "b.c").items[1].at("d", "e")
    assert (e.line, e.path) == (5, 'a["b.c"][1].d.e')
    missing = spot["a"]["b.c"].items[0].at("x", "y")
    assert (missing.exists, missing.line, missing.path) == (False, 3, 'a["b.c"][0].x.y')


@pytest.mark.parametrize("make", [lambda: deep(40_000), lambda: bomb(40)], ids=["deep", "bomb"])
def test_what_only_keeps_busy_is_given_up(make: Callable[[], str]) -> None:
    """Without the limits it would take hours, or all memory."""
    with pytest.raises(UnreadableEnvoy):
        validate([("envoy.yaml", make())])
