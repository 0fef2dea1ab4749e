"""The documents of design section 3 as they are written: what each field may hold, checked one by one.

What fields mean together is checked by `together`, what they mean at all (templates, CEL, names that must be unique) by
`compile`. The rule kept here: a field that this version does not act on is refused by name, and an empty list is an
error, never "everything".
"""

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, ClassVar, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)

from extauthz.errors import Reason
from extauthz.policy.named_models import AddressList, HolidayList, WindowModel
from extauthz.policy.problems import Unbuilt
from extauthz.values import block as blocks
from extauthz.values.decisions import Effect, Factor, Mode, UserVerification
from extauthz.values.duration import DURATION, longer_than_nothing, seconds
from extauthz.wire.headers import SINGLE

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,126}")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Z-]{1,64}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110 section 5.6.2
_WORD = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
# What Envoy's `envoy.type.v3.StatusCode` knows of these; it takes no other.
_STATUSES: Final = frozenset(s.value for s in HTTPStatus if s >= 400) - {418, 425, 451}
# Names whose change would move the request elsewhere, break the framing (RFC 9110 section 7.6.1, RFC 9113 section
# 8.2.2), tell a gRPC client another outcome than ours, or is ours alone (design section 6).
_FORBIDDEN_HEADERS: Final = frozenset(
    (
        "host",
        "connection",
        "content-length",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "grpc-message",
        "grpc-status",
        "grpc-status-details-bin",
    )
)
_FORBIDDEN_PREFIXES: Final = ("x-extauthz-", "x-envoy-")
# Headers that have one value (RFC 9110 section 5.3): of two, readers take one or the other.
_ONE_VALUE: Final = SINGLE | {"location"}
# What the dynamic metadata of an answer holds beside what policies set: our own facts, and a figure of Envoy's.
_TAKEN_KEYS: Final = frozenset({"extauthz", "ext_authz_duration"})
_TAKEN_WORDS: Final = frozenset(get_args(Reason)) - {"denied"}


def instant(text: object) -> float:
    """Seconds since the epoch of a date and time as RFC 3339 section 5.6 writes it, offset included."""
    if isinstance(text, str) and _INSTANT.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            pass
    raise ValueError("not a date and time of RFC 3339; write `2026-11-21T10:00:00Z`")


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"`{text[:60]}` is not {what}")
        return text

    return AfterValidator(check)


def _method(text: str) -> str:
    if not _METHOD.fullmatch(text):
        raise ValueError(f"`{text[:60]}` is not a method; methods are upper case, like `{text[:60].upper()}`")
    return text


def header_name(text: str) -> str:
    """The lower-case form of a header name that a policy may set or remove."""
    name = text.lower()
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"`{text[:60]}` is not a header name")
    dashed = name.replace("_", "-")
    if dashed in _FORBIDDEN_HEADERS or dashed.startswith(_FORBIDDEN_PREFIXES):
        raise ValueError(f"the header `{name}` can't be changed by a policy")
    return name


def _appended_name(text: str) -> str:
    name = header_name(text)
    if name.replace("_", "-") in _ONE_VALUE:
        raise ValueError(f"the header `{name}` has one value; set it, or append to another")
    return name


def _metadata_key(text: str) -> str:
    if text in _TAKEN_KEYS:
        raise ValueError(f"the key `{text}` is taken; choose another")
    return text


def _own_word(text: str) -> str:
    if text in _TAKEN_WORDS:
        raise ValueError(f"`{text}` is a reason of extauthz itself; choose another word")
    return text


def _header_value(text: str) -> str:
    if any(c < " " or c == "\x7f" for c in text):
        raise ValueError("a header value holds no control characters")
    return text


def _status(value: int) -> int:
    if value not in _STATUSES:
        raise ValueError(f"`{value}` is not a status that Envoy can deny with; write 401, 403, 404 or 429")
    return value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("an empty expression; write CEL, or remove the field")
    return text


def _written(pattern: re.Pattern[str], **more: object) -> WithJsonSchema:
    """How the JSON Schema tells what a text must be like, where pydantic can't know."""
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern.pattern})$", **more})


Duration = Annotated[
    float, BeforeValidator(seconds), AfterValidator(longer_than_nothing), _written(DURATION, examples=["5m"])
]
Instant = Annotated[float, BeforeValidator(instant), _written(_INSTANT, examples=["2026-11-21T10:00:00Z"])]
Name = Annotated[str, _matching(_NAME, "a name; use letters, digits, `.`, `_` and `-`, at most 128"), _written(_NAME)]
VariableName = Annotated[str, _matching(_VARIABLE, "a variable name; use letters, digits and `_`"), _written(_VARIABLE)]
Word = Annotated[
    str, _matching(_WORD, "a reason; use lower-case words joined by `-`, at most 64 characters"), _written(_WORD)
]
Method = Annotated[str, AfterValidator(_method), _written(_METHOD)]
HeaderName = Annotated[str, AfterValidator(header_name), _written(_TOKEN)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
OwnWord = Annotated[Word, AfterValidator(_own_word)]
Cel = Annotated[str, AfterValidator(_not_blank)]
Headers = Annotated[dict[HeaderName, Cel], Field(min_length=1)]
AppendedHeaders = Annotated[
    dict[Annotated[str, AfterValidator(_appended_name), _written(_TOKEN)], Cel], Field(min_length=1)
]
Key = Annotated[str, Field(min_length=1, max_length=256)]
MetadataKey = Annotated[Key, AfterValidator(_metadata_key)]
Status = Annotated[int, AfterValidator(_status), WithJsonSchema({"type": "integer", "enum": sorted(_STATUSES)})]


class Block(blocks.Block, Unbuilt):
    """The base of every mapping in a document."""

    model_config = ConfigDict(strict=True)


class AllowBlock(Block):
    """What an allow changes: names to CEL values."""

    headers: Headers | None = None
    append_headers: AppendedHeaders | None = None
    remove_headers: Annotated[list[HeaderName], Field(min_length=1)] | None = None
    response_headers: Headers | None = None
    append_response_headers: AppendedHeaders | None = None
    query: Annotated[dict[Key, Cel], Field(min_length=1)] | None = None
    remove_query: Annotated[list[Key], Field(min_length=1)] | None = None
    metadata: Annotated[dict[MetadataKey, Cel], Field(min_length=1)] | None = None


class Scope(Block):
    """`bind: {scope: [CEL, …]}`: the rule, with these values."""

    scope: Annotated[list[Cel], Field(min_length=1)]


def _shape(value: object) -> str:
    return "mapping" if isinstance(value, dict | Block) else "text"


# Where a text or a mapping may stand, what is wrong is told of the one that is there.
_TEXT, _MAPPING, _text_or_mapping = Tag("text"), Tag("mapping"), Discriminator(_shape)
Bind = Annotated[
    Annotated[Literal["session", "action", "request"], _TEXT] | Annotated[Scope, _MAPPING], _text_or_mapping
]


class Computed(Block):
    """`{cel: …}` where a text may stand too: the value of an expression."""

    cel: Cel


HeaderText = Annotated[Annotated[HeaderValue, _TEXT] | Annotated[Computed, _MAPPING], _text_or_mapping]
BodyText = Annotated[
    Annotated[Annotated[str, Field(max_length=65536)], _TEXT] | Annotated[Computed, _MAPPING], _text_or_mapping
]


class DenyBlock(Block):
    """How a deny answers: in plain text, or with what `{cel: …}` makes of the request."""

    status: Status = 403
    reason: OwnWord = "denied"
    headers: Annotated[dict[HeaderName, HeaderText], Field(min_length=1)] | None = None
    body: BodyText = ""


class ChallengeBlock(Block):
    """Which proof a challenge asks for, how old it may be, and what it is good for."""

    factors: Annotated[list[Factor], Field(min_length=1)]
    acr: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    max_age: Duration = 300.0
    bind: Bind = "action"
    user_verification: UserVerification = "preferred"
    accept_token: bool = False
    show: Annotated[dict[Key, Cel], Field(min_length=1)] | None = None


class Approvers(Block):
    """Who may answer."""

    not_built: ClassVar[frozenset[str]] = frozenset({"when"})

    groups: Annotated[list[Key], Field(min_length=1)] | None = None
    subjects: Annotated[list[Key], Field(min_length=1)] | None = None


class ApproveBlock(Block):
    """Who approves, how many, and how long everything lasts."""

    not_built: ClassVar[frozenset[str]] = frozenset(
        {"deny_min", "valid_for", "uses", "auto", "escalate", "break_glass", "cooldown"}
    )

    approvers: Approvers
    min: Annotated[int, Field(ge=1, le=100)] = 1
    expires_in: Duration = 900.0
    hold: Duration | None = None
    bind: Bind = "action"
    reason: Literal["required", "optional"] = "optional"
    show: Annotated[dict[Key, Cel], Field(min_length=1)] | None = None


class SubjectName(Block):
    """One subject by issuer and `sub`; a subject written as text is meant at any issuer."""

    issuer: Annotated[str, Field(min_length=1, max_length=2048)]
    sub: Key


NamedSubject = Annotated[Annotated[Key, _TEXT] | Annotated[SubjectName, _MAPPING], _text_or_mapping]


class Stage(Block):
    """For whom a rule is enforced already; for everyone else it is in shadow."""

    percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    subjects: Annotated[list[NamedSubject], Field(min_length=1)] | None = None
    workloads: Annotated[list[str], Field(min_length=1)] | None = None


class StagedMode(Block):
    """`mode: {enforce_for: …}`: staged enforcement."""

    enforce_for: Stage


ModeField = Annotated[Annotated[Mode, _TEXT] | Annotated[StagedMode, _MAPPING], _text_or_mapping]


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
