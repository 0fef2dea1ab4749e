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
    """The issuer of the user's tokens, their `iss`."""
    sub: Key
    """The user's `sub` at that issuer."""


NamedSubject = Annotated[Annotated[Key, TEXT] | Annotated[SubjectName, MAPPING], TEXT_OR_MAPPING]


class Stage(Block):
    """For whom a rule is enforced already; for everyone else it is in shadow."""

    percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    """How many percent of all subjects are in, also `0.5`. A larger number only adds subjects, and every server picks
    the same ones."""
    subjects: Annotated[list[NamedSubject], Field(min_length=1)] | None = None
    """Who is in by name. A text is a `sub` at any issuer, or the SPIFFE ID of a workload that calls without a user."""
    workloads: Annotated[list[str], Field(min_length=1)] | None = None
    """Which calling workloads are in, whoever their user is: patterns as in `workloads` of a rule."""


class StagedMode(Block):
    """`mode: {enforce_for: …}`: staged enforcement."""

    enforce_for: Stage
    """For whom the rule is obeyed: whoever is in by any one of `percent`, `subjects` and `workloads`."""


ModeField = Annotated[Annotated[Mode, TEXT] | Annotated[StagedMode, MAPPING], TEXT_OR_MAPPING]


class Rule(Block):
    """One rule: match fields, a condition, an effect."""

    name: Name
    """The rule's name, unique in its policy. Records and tests call the rule `policy/rule`."""
    hosts: Annotated[list[str], Field(min_length=1)] | None = None
    """Hosts of the request: `www.example.com`, or `*.example.com` for all below it at any depth, not itself. Case and
    port do not matter. Without it those of the policy, which it can only narrow."""
    methods: Annotated[list[Method], Field(min_length=1)] | None = None
    """Methods of the request, in upper case; `GET` covers `HEAD`. Any without it."""
    paths: Annotated[list[str], Field(min_length=1)] | None = None
    """Templates of the path: `*` or `{name}` is one segment, `**` or `{name=**}` at the end any number, none included.
    What is captured is in `request.params`. Any path without it."""
    workloads: Annotated[list[str], Field(min_length=1)] | None = None
    """Patterns of the SPIFFE ID of the calling workload: `*` is one segment, `**` at the end any number, none included.
    Without it every caller fits, also one without a workload."""
    tcp: bool = False
    """Whether an `allow` covers checks of TCP connections, too. Only without hosts, methods and paths. Guards without
    these cover them anyway."""
    when: Cel | None = None
    """CEL of type bool: the rule matches where it is true. Always without it. Where it errs, a guard denies and an
    `allow` does not match."""
    effect: Effect
    """What the rule does where it matches. Only `allow` lets anything through; the others are guards, which never let
    more through. Details are in the block of the same name."""
    allow: AllowBlock | None = None
    """What an `allow` changes in the request and in its response. Nothing without it."""
    deny: DenyBlock | None = None
    """How a `deny` answers. With 403 and the reason `denied` without it."""
    challenge: ChallengeBlock | None = None
    """Which proof a `challenge` asks for. It needs this block."""
    approve: ApproveBlock | None = None
    """Whose approval an `approve` asks for. It needs this block."""
    mode: ModeField = "enforce"
    """`enforce`: the rule is obeyed. `shadow`: it is evaluated and recorded, never obeyed. `{enforce_for: …}`: it is
    obeyed for some, and in shadow for the rest."""
    expires: Instant | None = None
    """From this date and time on (RFC 3339) the rule is as if it were not there. A guard that expires opens access, so
    it needs `expires_opens: true`."""
    expires_opens: bool = False
    """Says that a guard with `expires` is meant to open access then."""
    audit: Literal["required"] | None = None
    """`required`: the record is on disk before the answer leaves, where this rule is obeyed and matches, or is a guard
    that errs."""
    description: Annotated[str, Field(max_length=4096)] = ""
    """What the rule is about, for people: shown to whoever is challenged, and to approvers."""


class PolicySpec(Block):
    """What a policy says."""

    hosts: Annotated[list[str], Field(min_length=1)] | None = None
    """The hosts that its rules are for, written as in `hosts` of a rule. Any without it."""
    risk: Name | None = None
    """The risk model that `risk` stands for in its expressions. Without it the only one, or that of the name
    `default`."""
    variables: Annotated[dict[VariableName, Cel], Field(min_length=1)] | None = None
    """CEL expressions of any type by name, read as `variables.NAME`. Each is evaluated when it is first read, once for
    a request; one that reads `request.params` once for each rule."""
    rules: Annotated[list[Rule], Field(min_length=1)]
    """The rules of the policy. Their order means nothing."""


class Metadata(Block):
    """How a document is called."""

    name: Name
    """The document's name. No two policies have the same one, nor two risk models, nor two documents of definitions."""


class VersionedDocument(Block):
    """How every document begins."""

    apiVersion: Literal["extauthz/v1"]  # noqa: N815 - the documents' own spelling
    """The version of the format that the document is written in."""


class Parameter(Block):
    """A parameter of a function, in its place."""

    name: VariableName
    """How the function's `body` calls it."""
    type: Key
    """Its CEL type: `bool`, `int`, `uint`, `double`, `string`, `bytes`, `timestamp`, `duration`, `dyn`, `list(T)`,
    `map(K, V)`, or a structure such as `user`; `request` is none."""


class DefinedFunction(Block):
    """A named expression of parameters; without `result` its type is the one that is deduced."""

    parameters: Annotated[list[Parameter], Field(min_length=1, max_length=20)] | None = None
    """What it is called with, in this order. Nothing without it."""
    result: Key | None = None
    """The CEL type that `body` must have, written as that of a parameter. Deduced without it."""
    body: Cel
    """What it comes to: CEL of any type. It sees the parameters and other definitions, nothing of the request."""
    description: Annotated[str, Field(max_length=4096)] = ""
    """What the function is for, for who reads the document."""


def _constant(value: object) -> object:
    """Told here once: pydantic would tell it for each type that a constant may have."""
    if not isinstance(value, str | bool | int | float):
        raise ValueError("must be text, a number, `true` or `false`")  # noqa: TRY004 - what pydantic expects
    return value


Constant = Annotated[str | bool | int | float, BeforeValidator(_constant)]


class DefinitionsSpec(Block):
    """What all documents may use as `definitions.name`; windows by `within`, addresses by `listed`."""

    functions: Annotated[dict[VariableName, DefinedFunction], Field(min_length=1)] | None = None
    """Functions by name, called as `definitions.NAME(…)`. They may call each other, in no circle."""
    lists: Annotated[dict[VariableName, Annotated[list[Constant], Field(min_length=1)]], Field(min_length=1)] | None = (
        None
    )
    """Lists by name, read as `definitions.NAME`. All values of a list are of one type."""
    constants: Annotated[dict[VariableName, Constant], Field(min_length=1)] | None = None
    """Single values by name, read as `definitions.NAME`."""
    holidays: Annotated[dict[Name, HolidayList], Field(min_length=1)] | None = None
    """Lists of days by name, for `holidays` of windows: dates (`2026-04-03`), and days of every year (`12-25`)."""
    windows: Annotated[dict[Name, WindowModel], Field(min_length=1)] | None = None
    """Windows of time by name, asked as `within(now, "NAME")`."""
    addresses: Annotated[dict[Name, AddressList], Field(min_length=1)] | None = None
    """Lists of addresses and networks by name, asked as `listed(client.ip, "NAME")`. Longer ones than 1,000 are files
    that the configuration names."""


class DefinitionsDocument(VersionedDocument):
    """A document of `kind: Definitions`."""

    kind: Literal["Definitions"]
    """Says that the document defines what the expressions of all documents may use."""
    metadata: Metadata
    """The document's name, which no expression needs."""
    spec: DefinitionsSpec
    """What is defined: any of functions, lists, constants, holidays, windows and addresses."""


class PolicyDocument(VersionedDocument):
    """A document of `kind: Policy`."""

    kind: Literal["Policy"]
    """Says that the document is a policy: rules that allow requests, or guard them."""
    metadata: Metadata
    """The policy's name, by which its rules are known as `policy/rule`."""
    spec: PolicySpec
    """What the policy says: its rules, and what they share."""
