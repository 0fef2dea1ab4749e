"""Guards that nobody can meet, because this version of extauthz does not yet act on what they ask for.

The rule kept here: what can be met is known where it is built, not here.
"""

from collections.abc import Iterator, Sequence

from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.overlap import shown
from extauthz.policy.policy_set import ApproveTerms, ChallengeTerms
from extauthz.stepup.factors import AVAILABLE


def findings(rules: Sequence[Subject]) -> Iterator[Finding]:
    """The warnings of this kind."""
    for subject in rules:
        if subject.rule.mode != "shadow":
            yield from _unmeetable(subject)


def _unmeetable(subject: Subject) -> Iterator[Finding]:
    rule = subject.rule
    match rule.terms:
        case ChallengeTerms(factors=factors, accept_token=False) if not AVAILABLE & set(factors):
            yield subject.finding(
                "unmeetable-guard",
                ("challenge", "factors"),
                f"nobody can meet the challenge `{rule.name}`: {shown(factors)} can't be proven in this version",
                f"name {shown(sorted(AVAILABLE))} too",
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
