"""Warnings: their kinds with stable names, and one warning with its place.

The names are part of the interface: comments in policies and code scanning know them, so none is ever renamed.
"""

from typing import Final, NamedTuple

import msgspec

from extauthz.policy import models
from extauthz.policy.problems import Path, Problem
from extauthz.policy.rules import Rule
from extauthz.policy.yaml_source import Document


class Kind(NamedTuple):
    """What a kind of warning says in a few words, and what it means and what to do."""

    summary: str
    help: str


KINDS: Final[dict[str, Kind]] = {
    "unreachable-rule": Kind(
        "A rule never takes part in a decision",
        "A `deny` without a condition covers every request of this rule, so that its effect never shows. Remove the "
        "rule, or narrow the deny.",
    ),
    "redundant-rule": Kind(
        "A rule repeats another one",
        "Another rule of the same effect covers every request of this one and does the same. Two copies drift apart; "
        "remove one.",
    ),
    "contradictory-condition": Kind(
        "A condition is never true",
        "The condition contradicts itself or the rule's match fields, like `request.method == 'GET'` in a rule for "
        "`POST`. The rule never matches.",
    ),
    "expired-rule": Kind(
        "A rule has expired",
        "From its `expires` on a rule is as if absent. Remove it, or renew it after a review.",
    ),
    "open-allow": Kind(
        "An allow is open to everybody",
        "An `allow` without `when` and without `workloads` lets callers through that nobody has identified. Add a "
        "condition, or say in a comment why it is meant.",
    ),
    "unreachable-guard": Kind(
        "A guard where nothing is allowed",
        "No `allow` shares a request with this guard, so that it guards nothing: often its path, host or method is "
        "misspelt.",
    ),
    "unmeetable-guard": Kind(
        "A guard that nobody can meet",
        "The `challenge` takes only factors that can't be proven as it is configured, or the `approve` asks people who "
        "can't log in or are never on call: whoever it matches is turned away. Configure what it asks for, or say "
        "`deny`.",
    ),
    "guard-misses-paths": Kind(
        "An allow reaches paths beside a guard",
        "The guard names single paths, the allow everything below one of their prefixes: `/users/7` and `/users.json` "
        "are allowed beside a guarded `/users`. End the guard's path in `/**`, or narrow the allow.",
    ),
    "guard-misses-methods": Kind(
        "An allow reaches methods beside a guard",
        "The same path is allowed with methods that the guard does not name. Drop the guard's `methods`, or name those "
        "of the allow.",
    ),
    "guard-misses-hosts": Kind(
        "An allow reaches hosts beside a guard",
        "The same path is allowed on hosts that the guard does not name, and they may lead to the same service. Drop "
        "the guard's `hosts`, or name those of the allow.",
    ),
    "loose-approval": Kind(
        "An approval is good for what nobody was asked about",
        "With `bind: action` (the default) or `session` what was approved for one request is good for the next one of "
        "the rule, and the rule reads what differs from one to the other: a parameter, the path, the body. Write "
        "`bind: request`, or `bind: {scope: [CEL, …]}` with what people answer by.",
    ),
    "literal-placeholder": Kind(
        "A path is written as another router has it",
        "`/users/:id`, `/users/<id>` and `/users/[0-9]+` are literals here: the rule matches only a path that reads "
        "so, and a guard never takes effect. Write `{id}` or `*` for one segment, at the end `**` for any number.",
    ),
    "foreign-workload": Kind(
        "A workload of a trust domain that is not configured",
        "`identity.workload.trust_domains` does not list the trust domain, so that no such workload is ever known.",
    ),
    "foreign-host": Kind(
        "A host that is not configured",
        "`request.hosts` of the configuration lists the hosts that reach Envoy, and this is none of them.",
    ),
    "unknown-rule": Kind(
        "Somebody is to be told of a rule that does not exist",
        "With `--config`: `rules` of a webhook under `events` names a rule, or a policy, that is not there. Nobody is "
        "ever told of it. Correct the name, or remove it.",
    ),
    "short-idle-limit": Kind(
        "A limit of idleness is too short",
        "With `--config`: `session.idle` is compared with no more than `sessions.touch_every`. To other servers a "
        "session that goes on looks idle for that long, so it is asked for proofs all the time. Let `touch_every` be "
        "well below.",
    ),
    "risk-opens": Kind(
        "An allow that a higher risk opens",
        "A signal that can't be evaluated counts, so that an allow for a high risk lets through what nobody knows. Let "
        "the allow ask for a low risk (`risk.score < 30.0`, `risk.level == 'low'`), and let a guard ask for a high "
        "one.",
    ),
    "unused-risk-model": Kind(
        "A risk model that no rule reads",
        "It is never evaluated. Read `risk` in a policy that means this model (`risk: NAME` under `spec`), or remove "
        "it.",
    ),
    "unreachable-level": Kind(
        "A level that no score reaches",
        "All signals of the model together count less than the score that the level begins at: what waits for it never "
        "happens. Lower it, or raise weights.",
    ),
    "duplicate-signal": Kind(
        "A signal that repeats another one",
        "Two signals of a model have the same condition, so that one sign counts twice. Remove one, and give the other "
        "the weight that is meant.",
    ),
    "absent-value": Kind(
        "An allow reads what may be absent",
        "Reading what is not there is an error: an `allow` whose condition errs does not match, and one whose changes "
        "err denies. Test with `has()` or `in` first, or read with `?.`, `[?]` and `orValue()`.",
    ),
    "bad-ignore": Kind(
        "A comment that ignores nothing",
        "A comment `# lint: ignore[name] reason` names known warnings and gives a reason; this one does not count.",
    ),
    "unused-ignore": Kind(
        "A comment that is no longer needed",
        "No warning of that name is left at this rule. Remove the comment, so that it hides no later one.",
    ),
}
"""All kinds by name."""


class Related(msgspec.Struct, frozen=True, kw_only=True):
    """Another place that a warning speaks of."""

    file: str
    line: int
    column: int
    message: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One warning. `kind` is a key of `KINDS`, `rule` the `policy/rule`, empty where there is none.

    `topic` tells two warnings of one kind at one rule apart, whatever moves in the file.
    """

    kind: str
    rule: str
    problem: Problem
    topic: str = ""
    related: tuple[Related, ...] = ()

    def picture(self) -> str:
        """The warning with its source line and a caret, for a terminal."""
        known = self.problem
        worded = Problem(
            file=known.file,
            line=known.line,
            column=known.column,
            message=f"warning: {known.message}",
            hint=f"{known.hint} [{self.kind}]",
            source_line=known.source_line,
        )
        return worded.picture()


class Subject(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A rule as it is looked at: compiled, as written with the hosts of its policy, and where it stands."""

    rule: Rule
    model: models.Rule
    policy_hosts: tuple[str, ...]
    document: Document
    path: Path

    @property
    def start(self) -> tuple[int, int]:
        """Line and column of its first key."""
        return self.document.place(self.path)

    def finding(
        self, kind: str, steps: Path, message: str, hint: str, *, topic: str = "", related: tuple[Related, ...] = ()
    ) -> Finding:
        """A warning at the value under `steps` of the rule, or at its first key where that is not written."""
        return self.finding_at(
            kind, self.document.place((*self.path, *steps)), message, hint, topic=topic, related=related
        )

    def finding_at(
        self,
        kind: str,
        place: tuple[int, int],
        message: str,
        hint: str,
        *,
        topic: str = "",
        related: tuple[Related, ...] = (),
    ) -> Finding:
        """A warning at a line and column of the rule's file."""
        line, column = place
        problem = Problem(
            file=self.document.file,
            line=line,
            column=column,
            message=message,
            hint=hint,
            source_line=self.document.source_line(line),
        )
        return Finding(kind=kind, rule=self.rule.name, problem=problem, topic=topic, related=related)

    def related(self) -> Related:
        """This rule as the other place of a warning."""
        line, column = self.document.place((*self.path, "name"))
        return Related(file=self.document.file, line=line, column=column, message=f"`{self.rule.name}` is here")
