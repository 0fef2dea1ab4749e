"""Rules that never take part in a decision, or add nothing to it, and guards where there is nothing to guard.

The rule kept here: a rule is called unreachable only if no request and no caller can make it decide, whatever else is
loaded. Other rules of shadow or staged mode, or that expire earlier, count for nothing.
"""

from collections.abc import Iterator, Sequence

from extauthz.policy.lint.conditions import always_true, why_never
from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.nearby import Nearby
from extauthz.policy.lint.overlap import covers


def findings(rules: Sequence[Subject], now: float) -> Iterator[Finding]:
    """The warnings of these kinds; `now` is in seconds since the epoch."""
    living = [subject for subject in rules if not _expired(subject, now)]
    for subject in rules:
        if _expired(subject, now):
            yield subject.finding(
                "expired-rule", ("expires",), f"the rule `{subject.rule.name}` has expired", "remove it"
            )
    for subject in living:
        yield from _open(subject)
        yield from _contradictory(subject)
    yield from _denied(living)
    yield from _repeated(living)
    yield from _unneeded_guards(living)


def _expired(subject: Subject, now: float) -> bool:
    return subject.rule.expires is not None and subject.rule.expires <= now


def _outlives(one: Subject, other: Subject) -> bool:
    """Whether a rule lasts at least as long as the other."""
    last, end = one.rule.expires, other.rule.expires
    return last is None or (end is not None and end <= last)


def _open(subject: Subject) -> Iterator[Finding]:
    rule = subject.rule
    if rule.effect == "allow" and not rule.place.workloads and always_true(rule.when):
        yield subject.finding(
            "open-allow",
            ("effect",),
            f"the allow `{rule.name}` has no condition: it lets everybody through, also callers that nobody has "
            "identified",
            "add `when` or `workloads`",
        )


def _contradictory(subject: Subject) -> Iterator[Finding]:
    rule = subject.rule
    if rule.when is None:
        return
    reason = why_never(rule.when, {**rule.policy.shared, **rule.policy.per_rule}, rule.place)
    if reason is not None:
        span = rule.when.tree.span
        yield subject.finding_at(
            "contradictory-condition",
            subject.document.place_in((*subject.path, "when"), span.line, span.column),
            f"the condition of `{rule.name}` is never true: {reason}",
            "mend it, or remove the rule",
        )


def _denied(rules: Sequence[Subject]) -> Iterator[Finding]:
    """Rules all of whose requests some deny without a condition takes."""
    denials = [s for s in rules if s.rule.effect == "deny" and s.rule.mode == "enforce" and always_true(s.rule.when)]
    nearby = Nearby(subject.rule.place for subject in denials)
    for subject in rules:
        rule = subject.rule
        if rule.effect == "deny":
            continue
        for number in nearby.find(rule.place):
            denial = denials[number]
            if covers(denial.rule.place, rule.place) and _outlives(denial, subject):
                yield subject.finding(
                    "unreachable-rule",
                    ("name",),
                    f"`{rule.name}` never takes effect: `{denial.rule.name}` denies all of its requests",
                    "remove it, or narrow the deny",
                    topic=denial.rule.name,
                    related=(denial.related(),),
                )
                break


def _repeated(rules: Sequence[Subject]) -> Iterator[Finding]:
    """Rules that another one covers and says the same as; of two alike the later one in the order of names."""
    nearby = Nearby(subject.rule.place for subject in rules)
    for number, subject in enumerate(rules):
        for other in nearby.find(subject.rule.place):
            if other != number and _repeats(subject, rules[other], later=number > other):
                yield subject.finding(
                    "redundant-rule",
                    ("name",),
                    f"`{subject.rule.name}` adds nothing: `{rules[other].rule.name}` covers its requests and does the "
                    "same",
                    "remove one of both",
                    topic=rules[other].rule.name,
                    related=(rules[other].related(),),
                )
                break


def _repeats(one: Subject, other: Subject, *, later: bool) -> bool:
    mine, theirs = one.rule, other.rule
    same_effect = mine.effect == theirs.effect and mine.mode == theirs.mode == "enforce"
    if not same_effect or one.model.audit is not None or not covers(theirs.place, mine.place):
        return False
    if not _same_terms(one, other) or not (always_true(theirs.when) or _same_condition(one, other)):
        return False
    mutual = covers(mine.place, theirs.place) and _same_condition(one, other) and _outlives(one, other)
    return _outlives(other, one) and (later or not mutual)


def _same_condition(one: Subject, other: Subject) -> bool:
    """Whether two conditions are written alike and read the same variables."""
    mine, theirs = one.rule.when, other.rule.when
    if mine is None or theirs is None:
        return always_true(mine) and always_true(theirs)
    if mine.source != theirs.source:
        return False
    return one.rule.policy is other.rule.policy or not any(name.startswith("variables.") for name in mine.names)


def _same_terms(one: Subject, other: Subject) -> bool:
    mine, theirs = (getattr(subject.model, subject.rule.effect) for subject in (one, other))
    if mine is None:
        return theirs is None or one.rule.effect == "allow"
    # Terms with expressions mean the same only where the same variables are behind their names.
    return bool(mine == theirs) and one.rule.policy is other.rule.policy and not _names_captures(one, other)


def _names_captures(one: Subject, other: Subject) -> bool:
    return (one.rule.reads_params or other.rule.reads_params) and one.rule.place.templates != other.rule.place.templates


def _unneeded_guards(rules: Sequence[Subject]) -> Iterator[Finding]:
    """Guards that share no request with any allow, those in shadow included: they may be enforced next."""
    nearby = Nearby(subject.rule.place for subject in rules if subject.rule.effect == "allow")
    for subject in rules:
        rule = subject.rule
        if rule.effect != "allow" and not nearby.find(rule.place):
            yield subject.finding(
                "unreachable-guard",
                ("name",),
                f"no allow shares a request with the guard `{rule.name}`: what it guards is denied anyway",
                "compare its hosts, methods, paths and workloads with those of the allows",
            )
