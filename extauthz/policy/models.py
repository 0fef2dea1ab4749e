"""The documents of design section 3 as they are written: what each field may hold, checked one by one.

What fields mean together is checked by `together`, what they mean at all (templates, CEL, names that must be unique) by
`compile`. The rule kept here: a field that nobody acts on is refused by name, and an empty list is an error, never
"everything".
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from extauthz.policy.effect_models import AllowBlock, ApproveBlock, ChallengeBlock, DenyBlock
from extauthz.policy.field_types import (
    MAPPING,
    TEXT,
    TEXT_OR_MAPPING,
    Block,
    Cel,
    Instant,
    Key,
    Method,
    Name,
    VariableName,
)
from extauthz.policy.named_models import AddressList, HolidayList, WindowModel
from extauthz.values.decisions import Effect, Mode


class SubjectName(Block):
    """One subject by issuer and `sub`; a subject written as text is meant at any issuer."""

    issuer: Annotated[str, Field(min_length=1, max_length=2048)]
    sub: Key


NamedSubject = Annotated[Annotated[Key, TEXT] | Annotated[SubjectName, MAPPING], TEXT_OR_MAPPING]


class Stage(Block):
    """For whom a rule is enforced already; for everyone else it is in shadow."""

    percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    subjects: Annotated[list[NamedSubject], Field(min_length=1)] | None = None
    workloads: Annotated[list[str], Field(min_length=1)] | None = None


class StagedMode(Block):
    """`mode: {enforce_for: …}`: staged enforcement."""

    enforce_for: Stage


ModeField = Annotated[Annotated[Mode, TEXT] | Annotated[StagedMode, MAPPING], TEXT_OR_MAPPING]


class Rule(Block):
    """One rule: match fields, a condition, an effect."""

    name: Name
    hosts: Annotated[list[str], Field(min_length=1)] | None = None
    methods: Annotated[list[Method], Field(min_length=1)] | None = None
    paths: Annotated[list[str], Field(min_length=1)] | None = None
    workloads: Annotated[list[str], Field(min_length=1)] | None = None
    tcp: bool = False
    when: Cel | None = None
    effect: Effect
    allow: AllowBlock | None = None
    deny: DenyBlock | None = None
    challenge: ChallengeBlock | None = None
    approve: ApproveBlock | None = None
    mode: ModeField = "enforce"
    expires: Instant | None = None
    expires_opens: bool = False
    audit: Literal["required"] | None = None
    description: Annotated[str, Field(max_length=4096)] = ""


class PolicySpec(Block):
    """What a policy says."""

    hosts: Annotated[list[str], Field(min_length=1)] | None = None
    risk: Name | None = None
    variables: Annotated[dict[VariableName, Cel], Field(min_length=1)] | None = None
    rules: Annotated[list[Rule], Field(min_length=1)]


class Metadata(Block):
    """The name that the document's rules are known under."""

    name: Name


class Parameter(Block):
    """A parameter of a function, in its place."""

    name: VariableName
    type: Key


class DefinedFunction(Block):
    """A named expression of parameters; without `result` its type is the one that is deduced."""

    parameters: Annotated[list[Parameter], Field(min_length=1, max_length=20)] | None = None
    result: Key | None = None
    body: Cel
    description: Annotated[str, Field(max_length=4096)] = ""


def _constant(value: object) -> object:
    """Told here once: pydantic would tell it for each type that a constant may have."""
    if not isinstance(value, str | bool | int | float):
        raise ValueError("must be text, a number, `true` or `false`")  # noqa: TRY004 - what pydantic expects
    return value


Constant = Annotated[str | bool | int | float, BeforeValidator(_constant)]


class DefinitionsSpec(Block):
    """What all documents may use as `definitions.name`; windows by `within`, addresses by `listed`."""

    functions: Annotated[dict[VariableName, DefinedFunction], Field(min_length=1)] | None = None
    lists: Annotated[dict[VariableName, Annotated[list[Constant], Field(min_length=1)]], Field(min_length=1)] | None = (
        None
    )
    constants: Annotated[dict[VariableName, Constant], Field(min_length=1)] | None = None
    holidays: Annotated[dict[Name, HolidayList], Field(min_length=1)] | None = None
    windows: Annotated[dict[Name, WindowModel], Field(min_length=1)] | None = None
    addresses: Annotated[dict[Name, AddressList], Field(min_length=1)] | None = None


class DefinitionsDocument(Block):
    """A document of `kind: Definitions`."""

    apiVersion: Literal["extauthz/v1"]  # noqa: N815 - the documents' own spelling
    kind: Literal["Definitions"]
    metadata: Metadata
    spec: DefinitionsSpec


class PolicyDocument(Block):
    """A document of `kind: Policy`."""

    apiVersion: Literal["extauthz/v1"]  # noqa: N815 - the documents' own spelling
    kind: Literal["Policy"]
    metadata: Metadata
    spec: PolicySpec
