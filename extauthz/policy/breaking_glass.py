"""Who may break the glass of a rule, and by which proofs: what the rule says, together with the configuration.

The rule kept here: a group is one of a single issuer. Whoever runs another one would put somebody into it.
"""

from collections.abc import Collection, Iterator

from extauthz.policy.declared import Declared, Issuers
from extauthz.policy.effect_models import BreakGlassModel
from extauthz.policy.problems import Path, Problem, did_you_mean, problem_at
from extauthz.policy.yaml_source import Document
from extauthz.values.decisions import Factor


def issuer_of(block: BreakGlassModel, issuers: Issuers | None) -> str | None:
    """Whose groups count. `None` without a configuration, and where there are no users at all: then it is anybody's."""
    return block.issuer if block.issuer is not None or issuers is None else issuers.meant


def problems_of_glass(document: Document, path: Path, block: BreakGlassModel, declared: Declared) -> Iterator[Problem]:
    """What of a `break_glass` could never be, or could be anybody's, as it is configured; `path` leads to it."""
    if declared.issuers is not None and not document.is_lost((*path, "issuer")) and not document.is_lost(path):
        yield from _of_issuer(document, path, block, declared.issuers)
    if declared.factors is not None and not document.lost((*path, "factors")) and not document.is_lost(path):
        yield from _of_factors(document, (*path, "factors"), block.factors, declared.factors)


def _of_issuer(document: Document, path: Path, block: BreakGlassModel, issuers: Issuers) -> Iterator[Problem]:
    named, known = block.issuer, issuers.of_users
    if named is None and known and issuers.meant is None:
        listed = ", ".join(f"`{one}`" for one in sorted(known))
        message = f"groups of each of {len(known)} issuers would break the glass: {listed}"
        yield problem_at(document, path, message, "name the one whose groups are meant: `issuer: URL`", key=True)
    elif named is not None and named not in known:
        hint = did_you_mean(named, known) or "add it to `identity.users`, or name one that is there"
        yield problem_at(document, (*path, "issuer"), f"no users are of the issuer `{named}`", hint)


def _of_factors(
    document: Document, path: Path, factors: Collection[Factor], provable: frozenset[Factor]
) -> Iterator[Problem]:
    if provable.isdisjoint(factors):
        listed = ", ".join(f"`{one}`" for one in dict.fromkeys(factors))
        message = f"nobody can break the glass: {listed} can't be proven as it is configured"
        also = ", ".join(f"`{one}`" for one in sorted(provable))
        yield problem_at(document, path, message, f"configure `stepup.{next(iter(factors))}`, or name {also} too")
