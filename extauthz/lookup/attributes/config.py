"""The `attributes:` list of extauthz.yaml: the sources of external facts, what they are asked, and what they tell.

The rule: everything about a source that a request can't change is said here, and wrong is told when it is loaded. What
could take the place of a failure silently (an answer of another type, one that is too long, a redirect) is a failure.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from extauthz import cel
from extauthz.lookup.attributes.addresses import UrlTemplate
from extauthz.lookup.peers import OwnCertificate
from extauthz.policy.attribute_sources import AttributeSource, ask_program
from extauthz.policy.attribute_values import declared_type
from extauthz.policy.field_types import Duration
from extauthz.values.block import Block, Count, distinct
from extauthz.values.duration import at_most, seconds
from extauthz.values.secret import SecretFile
from extauthz.values.url import fetch_url

OnFailure = Literal["error", "absent", "deny"]

DECISION: Final = "decision"
"""The field that every AuthZEN answer has."""
_PARTS: Final = ("subject", "action", "resource")
_CEL_WORDS: Final = frozenset({"true", "false", "null", "in"})
_IN_A_URL: Final = (cel.STRING, cel.INT, cel.UINT, cel.BOOL, cel.DYN)


def _word(text: str) -> str:
    if text in _CEL_WORDS:
        raise ValueError(f"`{text}` is a word of CEL; give it another name")
    return text


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$"), AfterValidator(_word)]
"""What stands behind a dot in a condition."""


def _type(text: str) -> str:
    declared_type(text)
    return text


def _template(text: str) -> str:
    UrlTemplate.parse(text)
    return text


def _service(text: str) -> str:
    if text.startswith("unix:/"):
        return text
    url = urlsplit(fetch_url(text))
    if url.path not in ("", "/") or url.query:
        raise ValueError("not the address of a gRPC server; write `https://host:port`, without a path")
    return text


def _expression(text: str) -> str:
    try:
        ask_program(text)
    except cel.CompileError as error:
        problem = error.problems[0]
        hint = f"; {problem.hint}" if problem.hint else ""
        raise ValueError(f"at {problem.line}:{problem.column}: {problem.message}{hint}") from None
    return text


def _statuses(statuses: tuple[int, ...]) -> tuple[int, ...]:
    for status in statuses:
        if not 400 <= status < 500:
            raise ValueError(f"`{status}` can't say that nothing is known; write one from 400 to 499, say `404`")
    return distinct_numbers(statuses)


def distinct_numbers(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers, if each is there once. Raises `ValueError`."""
    distinct(tuple(map(str, numbers)))
    return numbers


class HttpSettings(Block):
    """A source that is asked by GET or POST."""

    url: Annotated[str, AfterValidator(_template)]
    """The address, with `https://`; `{name}` in its path and query is the place of what is asked under that name."""
    method: Literal["GET", "POST"] = "GET"
    """`GET`, or `POST`, which sends what has no place in `url` as a JSON object."""
    absent: Annotated[tuple[int, ...], AfterValidator(_statuses)] = ()
    """Statuses from 400 to 499 which say that nothing is known. A mistyped path is answered with 404, too, so none is
    by default."""


class GrpcSettings(Block):
    """A server of `extauthz.v1.AttributeSource`."""

    url: Annotated[str, AfterValidator(_service)]
    """The address: `https://host:port`, `http://` on loopback, or `unix:/path`."""


class AuthZenSettings(Block):
    """The Access Evaluation endpoint of a decision point that speaks the AuthZEN Authorization API 1.0."""

    url: Annotated[str, AfterValidator(fetch_url)]
    """The address of its Access Evaluation endpoint, with `https://`."""


class OwnCertificateSettings(Block):
    """Files in PEM: the certificate that is shown to the source, with its chain, and its key."""

    certificate: Path
    """The file with the certificate and its chain, in PEM."""
    key: SecretFile
    """The file with the key of the certificate, in PEM, for the server's user alone."""


class CacheSettings(Block):
    """For how long an answer counts for the same question."""

    ttl: Annotated[float, BeforeValidator(seconds), AfterValidator(at_most("24h"))] = 30.0
    """How long an answer counts, at most `24h`. So long conditions see what was true; with `0s` every request asks."""
    absent: Annotated[float, BeforeValidator(seconds), AfterValidator(at_most("24h"))] = 10.0
    """How long an answer counts that nothing is known, at most `24h`. Shorter than `ttl`, so that what is new is soon
    seen."""
    entries: Annotated[Count, Field(ge=1, le=1_000_000)] = 10_000
    """How many answers one process remembers. What was longest unused is forgotten first."""
    bytes: Annotated[Count, Field(ge=1024, le=1024**3)] = 16 * 1024 * 1024
    """How many bytes of answers one process remembers."""


class BreakerSettings(Block):
    """When a source that fails is left alone."""

    failures: Annotated[Count, Field(ge=1, le=1000)] = 5
    """After how many failures in a row the source is left alone."""
    pause: Annotated[Duration, AfterValidator(at_most("1h"))] = 5.0
    """For how long, at most `1h`. Then one question tries it."""


class AttributeSettings(Block):
    """One source, which is asked in one of three ways: `http`, `grpc` or `authzen`."""

    name: Name
    """What conditions write: `attributes.NAME.FIELD`."""
    http: HttpSettings | None = None
    """A source that is asked over HTTP. Each source is one of `http`, `grpc` and `authzen`."""
    grpc: GrpcSettings | None = None
    """A source that is asked over gRPC."""
    authzen: AuthZenSettings | None = None
    """A decision point that speaks the AuthZEN Authorization API 1.0."""
    ask: Annotated[dict[Name, Annotated[str, AfterValidator(_expression)]], Field(min_length=1, max_length=32)]
    """What is asked: a CEL expression for each name, over the request, the caller and the context. If one errs, nobody
    is asked and reading the source is an error."""
    fields: Annotated[dict[Name, Annotated[str, AfterValidator(_type)]], Field(max_length=256)] = Field(
        default_factory=dict
    )
    """What is told: the type of each member, as `string` or `list(string)`. An answer with a member of another type is
    unusable as a whole."""
    timeout: Annotated[Duration, AfterValidator(at_most("30s"))] = 0.5
    """How long a question may take, its turn included, at most `30s`. Envoy's own timeout for the whole decision must
    be longer."""
    at_once: Annotated[Count, Field(ge=1, le=1024)] = 32
    """How many questions may be on their way. The others wait for their turn, within `timeout`."""
    size: Annotated[Count, Field(ge=1, le=16 * 1024 * 1024)] = 65_536
    """How many bytes an answer may have. One that is longer is a failure."""
    cache: CacheSettings = CacheSettings()
    """How long an answer counts for the same question."""
    breaker: BreakerSettings = BreakerSettings()
    """When a source that fails is left alone."""
    on_failure: OnFailure = "error"
    """What conditions see if there is no answer: an `error`, which allows nothing; as if nothing were known (`absent`);
    or nothing, since the request is refused with 503 (`deny`)."""
    token: SecretFile | None = None
    """The file with a bearer token that is sent along. It is read for each question."""
    ca: Path | None = None
    """The file with the authorities of the source. Without it those of the system."""
    client: OwnCertificateSettings | None = None
    """The certificate that this server shows to the source."""

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        kinds = [kind for kind in (self.http, self.grpc, self.authzen) if kind is not None]
        if len(kinds) != 1:
            raise ValueError("a source is one of `http`, `grpc` and `authzen`; keep one")
        if not self.fields and self.authzen is None:
            raise ValueError("without `fields` nothing is told; write `fields: {tier: string}`")
        return self

    @model_validator(mode="after")
    def _asks_what_its_kind_can_send(self) -> Self:
        if self.http is not None:
            self._check_places(self.http)
        if self.authzen is not None:
            _check_evaluation(self.ask)
            if DECISION in self.fields:
                raise ValueError(f"`{DECISION}` is in every answer; `fields` are those of its `context`")
        return self

    def _check_places(self, http: HttpSettings) -> None:
        places = UrlTemplate.parse(http.url).places
        for name in sorted(places - self.ask.keys()):
            raise ValueError(f"`url` has a place for `{name}`, which is not among `ask`; add it there")
        for name in sorted(places):
            kind = ask_program(self.ask[name]).result_type
            if kind not in _IN_A_URL:
                raise ValueError(f"`{name}` is of type {kind}, which no URL has; wrap it in `string(…)`")
        rest = sorted(self.ask.keys() - places)
        if rest and http.method == "GET":
            raise ValueError(
                f"`{rest[0]}` is asked and has no place in `url`; write `{{{rest[0]}}}` there, or use POST"
            )

    @property
    def declared(self) -> AttributeSource:
        """What policies and questions need to know of it."""
        types = {name: declared_type(text) for name, text in self.fields.items()}
        return AttributeSource(
            name=self.name,
            ask=tuple((name, ask_program(text)) for name, text in sorted(self.ask.items())),
            fields={DECISION: cel.BOOL, **types} if self.authzen is not None else types,
        )

    def own_certificate(self, base: Path) -> OwnCertificate | None:
        """The files of what is shown to the source; relative ones start from `base`."""
        own = self.client
        return None if own is None else OwnCertificate(certificate=base / own.certificate, key=base / own.key)


def _check_evaluation(ask: Mapping[str, str]) -> None:
    for name in _PARTS:
        if name not in ask:
            raise ValueError(f"`ask` lacks `{name}`, which an evaluation has; add it as a map")
    for name in sorted(ask.keys() - {*_PARTS, "context"}):
        raise ValueError(f"`{name}` is no part of an evaluation; `ask` for subject, action, resource and context")


def _distinct_names(sources: tuple[AttributeSettings, ...]) -> tuple[AttributeSettings, ...]:
    distinct(tuple(source.name for source in sources))
    return sources


AttributesSettings = Annotated[tuple[AttributeSettings, ...], AfterValidator(_distinct_names)]
"""The whole list."""
