"""Patterns of workloads, one by one and as classes that a caller's ID is in."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.policy import workloads
from extauthz.policy.caller_classes import ANYBODY, CallerClasses

SEGMENTS = st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True).filter(lambda text: text not in {".", ".."})
PATHS = st.lists(SEGMENTS, min_size=1, max_size=5)
DOMAINS = st.from_regex(r"[a-z0-9._-]{1,12}", fullmatch=True)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("spiffe://td/a", ["/a"], ["/ab", "/a/b", "/b"]),
        ("spiffe://td/*", ["/a", "/b-1"], ["/a/b"]),
        ("spiffe://td/ns/*/sa/web", ["/ns/shop/sa/web"], ["/ns/sa/web", "/ns/a/b/sa/web", "/ns/shop/sa/webx"]),
        ("spiffe://td/ns/**", ["/ns", "/ns/a", "/ns/a/b/c"], ["/nsx", "/n", "/x/ns"]),
        ("spiffe://td/**", ["/a", "/a/b"], []),
        ("spiffe://td/*/**", ["/a", "/a/b"], []),
        ("spiffe://td/a.b", ["/a.b"], ["/axb"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    compiled = workloads.parse(pattern)
    for domain, expected in (("td", matching), ("td.evil", [])):
        ids = [f"spiffe://{domain}{path}" for path in matching + other]
        assert [one for one in ids if compiled.fits(one)] == [f"spiffe://{domain}{path}" for path in expected]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("td/a", "must begin with `spiffe://`"),
        ("https://td/a", "must begin with `spiffe://`"),
        ("spiffe://*/a", "`*` is no trust domain"),
        ("spiffe://Td/a", "`Td` is no trust domain"),
        ("spiffe://td", "end it with `/**`"),
        ("spiffe://td/", "`` is no segment"),
        ("spiffe://td/**/a", "`**` must be the last segment"),
        ("spiffe://td/web-*", "`web-*` is no segment"),
        ("spiffe://td/..", "`..` is no segment"),
        ("spiffe://td/a?b", "`a?b` is no segment"),
    ],
)
def test_patterns_that_can_match_nothing_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is what the assertion below is about
        workloads.parse(pattern)
    assert message in str(caught.value)


@given(domain=DOMAINS, path=PATHS, other=PATHS)
def test_a_pattern_without_wildcards_matches_only_itself(domain: str, path: list[str], other: list[str]) -> None:
    text = f"spiffe://{domain}/{'/'.join(path)}"
    compiled = workloads.parse(text)
    assert compiled.fits(text)
    assert compiled.fits(f"spiffe://{domain}/{'/'.join(other)}") == (path == other)


@given(domain=DOMAINS, path=PATHS, data=st.data())
def test_a_star_matches_exactly_one_segment(domain: str, path: list[str], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(path) - 1))
    compiled = workloads.parse(f"spiffe://{domain}/{'/'.join([*path[:index], '*', *path[index + 1 :]])}")
    assert compiled.fits(f"spiffe://{domain}/{'/'.join(path)}")
    assert not compiled.fits(f"spiffe://{domain}/{'/'.join([*path[:index], *path[index:], 'x'])}")


FEW = st.lists(st.sampled_from(("a", "b", "*")), min_size=1, max_size=3)
PATTERNS = st.builds(
    lambda path, tail: workloads.parse("/".join(["spiffe://td", *path, *tail])), FEW, st.sampled_from(((), ("**",)))
)


@given(st.lists(PATTERNS, max_size=6), st.lists(st.sampled_from("ab"), min_size=1, max_size=4))
def test_a_caller_is_in_the_classes_of_the_patterns_that_fit_and_in_no_other(
    patterns: list[workloads.WorkloadPattern], path: list[str]
) -> None:
    classes = CallerClasses()
    numbers = [classes.of_rule([pattern])[0] for pattern in patterns]
    workload_id = "/".join(["spiffe://td", *path])
    fitting = {number for number, pattern in zip(numbers, patterns, strict=True) if pattern.fits(workload_id)}
    found = classes.of_caller(workload_id)
    travelled = pickle.loads(pickle.dumps(classes))  # noqa: S301 - written here
    assert travelled.of_caller(workload_id) == found
    assert sorted(found) == sorted({ANYBODY, *fitting})


def test_who_is_nobody_is_in_the_class_of_anybody_alone() -> None:
    classes = CallerClasses()
    assert classes.of_rule([]) == (ANYBODY,)
    classes.of_rule([workloads.parse("spiffe://td/**")])
    assert classes.of_caller(None) == (ANYBODY,)
