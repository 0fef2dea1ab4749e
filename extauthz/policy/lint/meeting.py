"""Guards that nobody can meet: the configuration lacks what they ask for.

The rule kept here: without a configuration every factor is one that somebody may have, and anybody may answer.
"""

from collections.abc import Iterator, Sequence

from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.foreign import Configured
from extauthz.policy.lint.overlap import shown
from extauthz.policy.problems import did_you_mean
from extauthz.policy.rules import ApproveTerms, ChallengeTerms
from extauthz.values.approvals import ON_CALL
from extauthz.values.decisions import Factor


def findings(rules: Sequence[Subject], configured: Configured) -> Iterator[Finding]:
    """The warnings of this kind."""
    for subject in rules:
        if subject.rule.mode != "shadow":
            yield from _unmeetable(subject, configured.factors)
            yield from _unanswered(subject, configured)


def _unmeetable(subject: Subject, provable: frozenset[Factor] | None) -> Iterator[Finding]:
    rule = subject.rule
    match rule.terms:
        case ChallengeTerms(factors=factors, accept_token=False) if provable is not None and not provable & set(
            factors
        ):
            yield subject.finding(
                "unmeetable-guard",
                ("challenge", "factors"),
                f"nobody can meet the challenge `{rule.name}`: {shown(factors)} can't be proven as it is configured",
                f"configure `stepup.{factors[0]}`, or name {shown(sorted(provable))} too",
            )
        case _:
            pass


def _unanswered(subject: Subject, configured: Configured) -> Iterator[Finding]:
    rule, model = subject.rule, subject.model.approve
    if not isinstance(rule.terms, ApproveTerms) or model is None:
        return
    if configured.is_answered is False:
        yield subject.finding(
            "unmeetable-guard",
            ("effect",),
            f"nobody can meet the approve `{rule.name}`: approvers can't log in as it is configured",
            "configure `approvals.url`, or `approvals.tokens`",
        )
    yield from _unproven(subject, model.approvers.factors or (), configured.approver_factors)
    if configured.schedules is None:
        return
    for circle in (model.approvers, *(model.escalate or ())):
        for group in circle.groups or ():
            name = group.removeprefix(ON_CALL)
            if group.startswith(ON_CALL) and name not in configured.schedules:
                yield subject.finding(
                    "unmeetable-guard",
                    ("approve",),
                    f"nobody is ever on call by `{name}`, whom the approve `{rule.name}` asks",
                    did_you_mean(name, configured.schedules) or f"add `{name}` to `approvals.schedules`",
                )


def _unproven(subject: Subject, asked: Sequence[Factor], provable: frozenset[Factor] | None) -> Iterator[Finding]:
    """Approvers need a fresh proof, and can give none. Those who can't log in at all are told of as such."""
    if asked and provable and provable.isdisjoint(asked):
        yield subject.finding(
            "unmeetable-guard",
            ("approve", "approvers", "factors"),
            f"nobody can meet the approve `{subject.rule.name}`: {shown(asked)} can't be proven by approvers",
            f"name {shown(sorted(provable))} too, or see what {shown(asked[:1])} needs on the approvers' pages",
        )
