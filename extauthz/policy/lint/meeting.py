"""Guards that nobody can meet: the configuration lacks what they ask for, or this version does not yet act on it.

The rule kept here: without a configuration every factor is one that somebody may have.
"""

from collections.abc import Iterator, Sequence

from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.foreign import Configured
from extauthz.policy.lint.overlap import shown
from extauthz.policy.rules import ApproveTerms, ChallengeTerms
from extauthz.values.decisions import Factor


def findings(rules: Sequence[Subject], configured: Configured) -> Iterator[Finding]:
    """The warnings of this kind."""
    for subject in rules:
        if subject.rule.mode != "shadow":
            yield from _unmeetable(subject, configured.factors)


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
        case ApproveTerms():
            yield subject.finding(
                "unmeetable-guard",
                ("effect",),
                f"nobody can meet the approve `{rule.name}`: no approval can be given in this version",
                "make it a `deny` until then",
            )
        case _:
            pass
