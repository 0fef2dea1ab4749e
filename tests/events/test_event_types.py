"""What is an event, and who wants which of them."""

from typing import get_args

import pytest
from events.event_parts import challenged, decided, denied, lived
from hypothesis import given
from hypothesis import strategies as st
from record.making_records import decision_records, life_records

from extauthz.policy.rule_patterns import covers
from extauthz.record.event_message import HEADLINES
from extauthz.record.event_types import KINDS, Selection, happening_of, kinds_like
from extauthz.record.life import LifeKind
from extauthz.values.decisions import Allow

RULES = ["payments/four-eyes", "payments/frozen", "payments-eu/frozen", "exports/all"]
patterns = st.sampled_from([*RULES, "payments/*", "exports/*", "gone/*", "payments/gone"])


@given(decision_records | life_records)
def test_every_record_but_an_allow_is_an_event_of_a_known_kind(record: object) -> None:
    happening = happening_of(record)  # type: ignore[arg-type]  # hypothesis names no union
    assert (happening is None) == isinstance(getattr(record, "decision", None), Allow)
    assert happening is None or happening.kind in KINDS


def test_what_the_audit_tells_of_itself_is_no_event() -> None:
    of_audit = {kind for kind in get_args(LifeKind) if kind not in KINDS}
    assert of_audit == {f"audit.{what}" for what in ("started", "checkpoint", "rotated", "removed", "stopped")}
    assert happening_of(lived(kind="audit.rotated")) is None
    assert happening_of(decided(Allow(rule="payments/shop"))) is None


def test_every_kind_has_words() -> None:
    assert list(HEADLINES) == list(KINDS)


def test_a_challenge_is_about_all_rules_that_ask_to_be_met() -> None:
    happening = happening_of(challenged("a/large", "b/any", "c/any"))
    assert happening is not None
    assert (happening.kind, happening.rule) == ("decision.challenge", "a/large")
    assert happening.rules == ("a/large", "b/any", "c/any")
    opened = happening_of(lived(kind="challenge.opened", rule="a/large", details={"rules": ("a/large", "b/any")}))
    assert opened is not None
    assert opened.rules == ("a/large", "b/any")


def test_what_has_no_rule_has_its_reason() -> None:
    refused = happening_of(denied(rule=None, reason="malformed-path"))
    ruled = happening_of(denied())
    assert refused is not None
    assert ruled is not None
    assert (refused.rule, refused.rules, refused.reason) == ("", (), "malformed-path")
    assert (ruled.rule, ruled.reason) == ("payments/frozen-accounts", "")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("decision.deny", {"decision.deny"}),
        ("device.*", {"device.known", "device.revoked"}),
        ("keys.*", {"keys.changed"}),
        ("*", set(KINDS)),
    ],
)
def test_a_pattern_means_a_kind_a_family_or_all(pattern: str, found: set[str]) -> None:
    assert kinds_like(pattern) == found


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("decison.deny", "did you mean `decision.deny`"),
        ("decision.allow", "no event is called `decision.allow`"),
        ("factors.*", r"did you mean `factor\.\*`"),
        ("audit.*", "no event is called"),
        ("dec*", "no event is called"),
        ("", "no event is called"),
        (".*", "no event is called"),
        ("events.folded", "no event is called"),
        ("nonsense", r"write one of decision\.\*, challenge\.\*, .* or `\*`"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused(pattern: str, meant: str) -> None:
    with pytest.raises(ValueError, match=meant):
        kinds_like(pattern)


@given(st.lists(patterns, min_size=1), st.none() | st.sampled_from(RULES))
def test_a_selection_takes_what_one_of_its_patterns_covers(rules: list[str], rule: str | None) -> None:
    happening = happening_of(denied(rule=rule))
    assert happening is not None
    wanted = rule is not None and any(covers(pattern, rule) for pattern in rules)
    assert Selection.of(["decision.*"], rules).takes(happening) == wanted
    assert not Selection.of(["factor.*"], rules).takes(happening)


def test_without_rules_a_selection_takes_what_has_none() -> None:
    for record in (denied(rule=None), lived(), denied()):
        happening = happening_of(record)
        assert happening is not None
        assert Selection.of(["*"], None).takes(happening)


def test_a_challenge_is_taken_for_any_of_its_rules() -> None:
    happening = happening_of(challenged("a/large", "b/any"))
    assert happening is not None
    assert Selection.of(["*"], ["b/*"]).takes(happening)
    assert not Selection.of(["*"], ["c/*"]).takes(happening)
