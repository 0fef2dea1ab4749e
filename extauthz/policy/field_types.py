"""The types of the fields of documents: what a name, a duration, a header or a CEL text may be, and the JSON Schema's
word for it.

The rule kept here: a value that could be read in two ways is refused, with what to write instead.
"""

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from extauthz.errors import Reason
from extauthz.values import block as blocks
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


def _bound_header(text: str) -> str:
    name = text.lower()
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"`{text[:60]}` is not a header name")
    return name


BoundHeader = Annotated[str, AfterValidator(_bound_header), _written(_TOKEN)]


def _uses(value: object) -> object:
    if value == "unlimited" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1000):
        return value
    raise ValueError("must be a whole number from 1 to 1000, or `unlimited`")


Uses = Annotated[
    int | Literal["unlimited"],
    BeforeValidator(_uses),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1000}, {"const": "unlimited"}]}),
]


class Block(blocks.Block):
    """The base of every mapping in a document."""

    model_config = ConfigDict(strict=True)


def _shape(value: object) -> str:
    return "mapping" if isinstance(value, dict | Block) else "text"


# Where a text or a mapping may stand, what is wrong is told of the one that is there.
TEXT, MAPPING, TEXT_OR_MAPPING = Tag("text"), Tag("mapping"), Discriminator(_shape)
