"""Whom approvals know as one person: `approvals.persons` of extauthz.yaml.

The rule kept here: who is no person is named; everybody else must be one that can be told from all others.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from extauthz.values.block import Block, distinct

DEFAULT_CLAIM = "sub"


class MachinesSettings(Block):
    """Subjects of an issuer that are no people: all of them, or those in `subs`; a final `*` stands for anything."""

    issuer: Annotated[str, Field(min_length=1, max_length=2048)]
    subs: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=512)], ...], Field(min_length=1), AfterValidator(distinct)
    ] = ("*",)


class PersonsSettings(Block):
    """`claim` is what names a person in the tokens of every issuer; `machines` are subjects that are no people."""

    claim: Annotated[str, Field(min_length=1, max_length=256)] = DEFAULT_CLAIM
    machines: tuple[MachinesSettings, ...] = ()
