"""Paths that are written as another router has them: told with what to write, and ordinary names left alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.making import NOW, document, rule

from extauthz.policy.compile import compile_documents
from extauthz.policy.lint.run import lint
from extauthz.policy.templates import parse
from extauthz.policy.yaml_source import load_documents

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
ordinary = st.from_regex(r"[a-zé0-9_]{1,8}([-._~!$&'(),;=:@+][a-zé0-9_]{1,8}){0,3}", fullmatch=True)
odd = st.text(alphabet=":<>[]|^$().+ab1", min_size=1, max_size=8).filter(lambda text: text not in (".", ".."))


def warnings(*paths: str) -> list[str]:
    """What is told of a guard with these paths."""
    own = [rule("guard", "deny", paths=list(paths))]
    documents = load_documents(json.dumps(document("p", *own)), "policies.yaml")
    found = lint(documents, compile_documents(documents), now=NOW)
    return [f"{one.problem.message}; {one.problem.hint}" for one in found if one.kind == "literal-placeholder"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/x/:id", "`:id` in `/x/:id` is a literal: only a segment that reads `:id` fits; write `{id}` for any one"),
        ("/x/<int:id>", "only a segment that reads `<int:id>` fits; write `{id}` for any one segment"),
        ("/x/[0-9]+", "fits; write `*` or `{name}` for any one segment, or at the end `**` for any number"),
        ("/x/.+", "fits; write `*` or `{name}` for any one segment, or at the end `**` for any number"),
        ("/^x", "fits; remove `^` and `$`: a template stands for the whole path"),
        ("/x/$", "fits; remove `^` and `$`: a template stands for the whole path"),
    ],
)
def test_a_literal_that_looks_like_more_is_told_with_what_to_write(path: str, told: str) -> None:
    (warning,) = warnings(path)
    assert told in warning


def test_every_segment_is_told_once() -> None:
    assert len(warnings("/:a/:b/:a/plain/{c}")) == 2


@given(st.lists(ordinary, min_size=1, max_size=4))
def test_marks_between_letters_draw_no_warning(segments: list[str]) -> None:
    assert warnings("/" + "/".join(segments)) == []


@given(names, st.sampled_from((":{}", "<{}>", "<int:{}>")))
def test_what_the_warning_says_to_write_captures_the_name(name: str, syntax: str) -> None:
    (warning,) = warnings(f"/x/{syntax.format(name)}")
    written = warning.rpartition("write `")[2].partition("`")[0]
    template = parse(f"/x/{written}")
    assert template.capture_names == {name}
    assert template.fits(("x", "7"))
    assert warnings(f"/x/{written}") == []


@given(odd, odd)
def test_a_segment_that_is_warned_of_fits_nothing_but_itself(segment: str, other: str) -> None:
    if warnings(f"/{segment}"):
        template = parse(f"/{segment}")
        assert template.fits((segment,))
        assert template.fits((other,)) is (other == segment)
