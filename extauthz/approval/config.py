"""Whom approvals know as one person: `approvals.persons` of extauthz.yaml.

The rule kept here: who is no person is named; everybody else must be one that can be told from all others.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from extauthz.values.block import Block, distinct

DEFAULT_CLAIM = "sub"


class MachinesSettings(Block):
    """Subjects of an issuer that are no people."""

    issuer: Annotated[str, Field(min_length=1, max_length=2048)]
    """The issuer of the subjects."""
    subs: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=512)], ...], Field(min_length=1), AfterValidator(distinct)
    ] = ("*",)
    """Which of its subjects; a final `*` stands for anything. A person who is named here could approve his own
    requests."""


class PersonsSettings(Block):
    """Whom approvals know as one person."""

    claim: Annotated[str, Field(min_length=1, max_length=256)] = DEFAULT_CLAIM
    """The claim that names a person in the tokens of every issuer. Whoever's token lacks it can neither approve nor
    ask."""
    machines: tuple[MachinesSettings, ...] = ()
    """Subjects that are no people and need no name."""
