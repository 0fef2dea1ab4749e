"""The configuration: one YAML file, every key overridable by an environment variable, read once.

`EXTAUTHZ_STORE=memory:` overrides `store`, `EXTAUTHZ_LISTEN__GRPC=…` overrides `listen.grpc`, lists are JSON. Unknown
keys are errors. Paths are relative to the file.
"""

import os
import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from extauthz.check.activity_config import SessionSettings
from extauthz.check.revocation_config import RevocationSettings
from extauthz.errors import ConfigurationError, failure_of
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.key_config import KeyFile
from extauthz.identity.signals.config import SignalSettings
from extauthz.identity.telling_headers import telling_headers
from extauthz.lookup.attributes.config import AttributesSettings
from extauthz.lookup.local_config import AddressFiles, GeoSettings, Kind
from extauthz.lookup.stepup_config import StepUpSettings
from extauthz.policy.attribute_sources import attributes_type
from extauthz.policy.bundle_config import BundleSettings
from extauthz.policy.declared import Declared, Issuers
from extauthz.policy.device_config import DeviceSettings
from extauthz.policy.header_reads import undeclared_headers
from extauthz.policy.problems import PolicyErrors, Problem, did_you_mean, faults_of, problem_at
from extauthz.policy.request_config import PathSettings, RequestSettings
from extauthz.policy.yaml_source import Document, decode, load_documents
from extauthz.record.config import AuditSettings
from extauthz.record.events_config import EventsSettings
from extauthz.transport.listen_config import ListenSettings
from extauthz.transport.tls import Tls, tls_of
from extauthz.values.block import Block, Switch, with_a_value
from extauthz.values.secret import SecretFile
from extauthz.web.admin_config import AdminSettings
from extauthz.web.approvals_config import ApprovalsSettings
from extauthz.web.decisions_config import DecisionsSettings

_PREFIX = "EXTAUTHZ_"
_DELIMITER = "__"
# What Kubernetes puts beside every pod for a Service that is called `extauthz`, or `extauthz-web`.
_SERVICE_LINK = re.compile(
    _PREFIX + r"(?:[A-Z0-9]+_)*?(?:SERVICE_(?:HOST|PORT(?:_.+)?)|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_.+)?)"
    r"|" + _PREFIX + r"(?:[A-Z0-9]+_)*?PORT=(?:tcp|udp|sctp)://.*"
)
CONFIG_VARIABLE = "EXTAUTHZ_CONFIG"
"""Names the configuration file itself; for the commands."""


class ReloadSettings(Block):
    """When policies and key sets are read again besides on SIGHUP: `watch`, when their files change."""

    watch: Switch = True


class LogSettings(Block):
    """What the server says of itself: in which `format`, `auto` for text on a terminal and JSON elsewhere, and from
    which `level` on."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["info", "warning", "error"] = "info"


class Settings(BaseSettings):
    """The whole of `extauthz.yaml`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter=_DELIMITER,
        extra="forbid",
        frozen=True,
        validate_default=False,
    )

    _base: Path = PrivateAttr(default_factory=Path)
    listen: ListenSettings = ListenSettings()
    policies: tuple[Path, ...] = Field(default=(), min_length=1)
    bundles: tuple[BundleSettings, ...] = ()
    bundle_cache: Path = Path("bundles")
    reload: ReloadSettings = ReloadSettings()
    store: str = Field(default="sqlite:///extauthz.db", repr=False)  # with a password, maybe
    keys: SecretFile = Path("keys.json")
    revocations: RevocationSettings = RevocationSettings()
    sessions: SessionSettings = SessionSettings()
    signals: SignalSettings = SignalSettings()
    admin: AdminSettings = AdminSettings()
    identity: IdentitySettings = IdentitySettings()
    client: ClientSettings = ClientSettings()
    stepup: StepUpSettings = StepUpSettings()
    approvals: ApprovalsSettings = ApprovalsSettings()
    devices: DeviceSettings = DeviceSettings()
    paths: PathSettings = PathSettings()
    request: RequestSettings = RequestSettings()
    audit: AuditSettings | None = None
    decisions: DecisionsSettings | None = None
    events: EventsSettings = EventsSettings()
    logs: LogSettings = LogSettings()
    geo: GeoSettings = GeoSettings()
    addresses: AddressFiles = {}
    attributes: AttributesSettings = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment beats the file; there is no third place."""
        return env_settings, init_settings

    @field_validator("*", mode="before")
    @classmethod
    def _has_a_value(cls, value: object) -> object:
        return with_a_value(value)

    @property
    def base(self) -> Path:
        """The folder that relative paths start from: that of the file."""
        return self._base

    @model_validator(mode="after")
    def _has_policies(self) -> Self:
        if not self.policies and not self.bundles:
            raise ValueError("missing field `policies`; write `policies: [policies/]`, or name `bundles`")
        names = [bundle.name for bundle in self.bundles]
        if len(set(names)) < len(names):
            raise ValueError("two of the `bundles` have one name; give each the `name` that it was built with")
        return self

    @model_validator(mode="after")
    def _envoy_sends_what_tells_who_calls(self) -> Self:
        sent = self.declared_headers
        for name in sorted(telling_headers(self.identity, self.client) | self.devices.telling_headers):
            if sent is not None and name not in sent:
                raise ValueError(
                    f"`request.headers` lacks `{name}`, by which `identity`, `client` or `devices` knows who calls;"
                    " add it there and to `allowed_headers` of the filter"
                )
        return self

    @model_validator(mode="after")
    def _envoy_sends_what_is_asked(self) -> Self:
        sent = self.declared_headers
        if sent is not None:
            for source in self.attributes:
                for name, program in source.declared.ask:
                    for problem in undeclared_headers(program.tree, sent):
                        raise ValueError(
                            f"`{name}`, which `attributes` asks of `{source.name}`: {problem.message}; {problem.hint}"
                        )
        return self

    @model_validator(mode="after")
    def _has_decisions_to_show(self) -> Self:
        if self.decisions is not None and self.audit is None:
            raise ValueError("decisions: there are none without an audit; write `audit: {path: audit.jsonl}`")
        if self.decisions is not None and self.approvals.url is None:
            raise ValueError(
                "decisions: they are shown at the origin of the approvers' pages; write"
                " `approvals: {url: https://approvals.example.com}`"
            )
        return self

    @model_validator(mode="after")
    def _tells_each_by_its_name(self) -> Self:
        of_approvals = {one.name for one in self.approvals.webhooks}
        for one in self.events.webhooks:
            if one.name in of_approvals:
                raise ValueError(
                    f"events: `{one.name}` is a webhook of `approvals` too; give each a name of its own, by which it is"
                    " counted"
                )
        return self

    @model_validator(mode="after")
    def _knows_people_everywhere(self) -> Self:
        approvers = self.approvals.issuer
        machines = {one.issuer for one in self.approvals.persons.machines if "*" in one.subs}
        users = {source.issuer for source in self.identity.users} - machines
        others = users - {approvers}
        if approvers is not None and others and "claim" not in self.approvals.persons.model_fields_set:
            raise ValueError(
                f"approvals: users of `{min(others)}` and approvers of `{approvers}` may be the same"
                " people under another `sub`; say by which claim both know a person: `persons: {claim: email}`"
            )
        return self

    @model_validator(mode="after")
    def _takes_no_token_for_another(self) -> Self:
        for source in self.identity.users:
            for setting, audiences in self.approvals.audiences_of(source.issuer):
                for audience in sorted(audiences & set(source.audiences)):
                    raise ValueError(
                        f"approvals: `{audience}` is an audience of users (`{source.name}`) and of `{setting}`, so that"
                        f" a token of one is good as the other; let `{source.issuer}` give approvers one of their own"
                    )
        return self

    @property
    def policy_paths(self) -> tuple[Path, ...]:
        """The policy files and folders."""
        return tuple(self.base / path for path in self.policies)

    @property
    def jwks_paths(self) -> Mapping[str, Path]:
        """The files of key sets, by the name of the source."""
        return {
            source.name: self.base / source.place.path
            for source in self.identity.keys
            if isinstance(source.place, KeyFile)
        }

    @property
    def authorities_paths(self) -> Mapping[str, Path]:
        """The files with the authorities of workloads' certificates, by trust domain."""
        bundles = self.identity.workload.peer_certificate.bundles
        return {domain: self.base / path for domain, path in bundles.items()}

    @property
    def attributes_path(self) -> Path | None:
        """The file in which the platform writes what it knows of workloads."""
        attributes = self.identity.workload.attributes
        return None if attributes is None else self.base / attributes

    @property
    def identity_files(self) -> tuple[Path, ...]:
        """Every file that decides who somebody is: read at start, and again on a reload."""
        attributes = () if self.attributes_path is None else (self.attributes_path,)
        return (*self.jwks_paths.values(), *self.authorities_paths.values(), *attributes)

    @property
    def descriptors_path(self) -> Path | None:
        """The file that describes gRPC calls."""
        grpc = self.request.grpc
        return None if grpc is None else self.base / grpc.descriptors

    @property
    def request_files(self) -> tuple[Path, ...]:
        """Every file that decides how requests are read: read at start, and again on a reload."""
        return () if self.descriptors_path is None else (self.descriptors_path,)

    @property
    def geo_paths(self) -> Mapping[Kind, Path]:
        """The databases of addresses, by kind."""
        return self.geo.paths(self.base)

    @property
    def address_paths(self) -> Mapping[str, Path]:
        """The files with lists of addresses, by name."""
        return {name: self.base / path for name, path in self.addresses.items()}

    @property
    def keys_path(self) -> Path:
        """The key file."""
        return self.base / self.keys

    @property
    def tls(self) -> Tls | None:
        """TLS for `listen.grpc`."""
        return None if self.listen.tls is None else tls_of(self.listen.tls, setting="listen.tls", base=self.base)

    @property
    def declared(self) -> Declared:
        """What these settings say that policies may read."""
        return Declared(
            headers=self.declared_headers,
            attributes=attributes_type(source.declared for source in self.attributes),
            geo=self.geo.fields,
            addresses=frozenset(self.addresses),
            issuers=Issuers(
                of_users=frozenset(source.issuer for source in self.identity.users),
                of_approvers=self.approvals.issuer,
            ),
            approver_claims=frozenset(self.approvals.claims),
            factors=self.stepup.factors,
        )

    @property
    def declared_headers(self) -> frozenset[str] | None:
        """The lower-case names of the headers that Envoy sends, `None` for all."""
        headers = self.request.headers
        return None if isinstance(headers, str) else frozenset(name.lower() for name in headers)


def load_settings(path: Path) -> Settings:
    """The settings of the YAML file at `path`, with what the environment overrides.

    Raises:
        ConfigurationError: the file can't be read.
        PolicyErrors: it is no valid configuration; every problem with its place.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: can't read the configuration: {failure_of(error)}") from error
    documents = load_documents(decode(raw, str(path)), str(path))
    if len(documents) != 1:
        raise ConfigurationError(f"{path}: holds {len(documents)} documents; write one, with at least `policies`")
    document = documents[0]
    if not isinstance(document.value, dict):
        raise PolicyErrors(
            [problem_at(document, (), "must be a mapping of settings; begin with `policies: [policies/]`")]
        )
    if "apiVersion" in document.value and "kind" in document.value:
        raise PolicyErrors(
            [problem_at(document, (), "a policy, no configuration", "name its folder in one: `policies: [policies/]`")]
        )
    if any("\0" in text for text in _texts(document.value)):
        raise ConfigurationError(f"{path}: holds a NUL character, which no name of a file can have; remove it")
    _refuse_unknown_variables(os.environ)
    try:
        settings = Settings(**_without_constructor_switches(document))
    except ValidationError as error:
        raise PolicyErrors(_problems(error, document, os.environ)) from None
    except SettingsError as error:
        raise ConfigurationError(f"environment: {error}; lists and mappings are written as JSON") from error
    settings._base = path.absolute().parent
    return settings


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _texts(one)


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """A misspelt variable must not leave a default in force without a word."""
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    for variable in sorted(environ):
        name = variable.upper().partition(_DELIMITER)[0]
        if not name.startswith(_PREFIX) or any(map(_SERVICE_LINK.fullmatch, (name, f"{name}={environ[variable]}"))):
            continue
        if name != CONFIG_VARIABLE and name not in known:
            hint = did_you_mean(name, known) or "unset it"
            raise ConfigurationError(f"environment: {variable}: no such setting; {hint}")


def _problems(error: ValidationError, document: Document, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Every problem with its place: the variable that says what is wrong, else the line and column in the file."""
    said = EnvSettingsSource(Settings)()
    variables = {_path_of(name): name for name in environ if name.upper().startswith(_PREFIX)}
    for fault in faults_of(error, Settings, document):
        if not _is_of_environment(fault.path, said, document.value):
            yield fault.problem
            continue
        path = max(variables, key=lambda path: _shared_steps(path, fault.path))
        place = f"environment: {variables[path]}"
        if fault.kind == "extra_forbidden" and path == fault.path:
            meant = _DELIMITER.join((*path[:-1], fault.meant)).upper()
            hint = f"did you mean `{_PREFIX}{meant}`?" if fault.meant else "unset it"
            yield Problem(file=place, message="no such setting", hint=hint)
        else:
            yield Problem(file=place, message=fault.problem.message, hint=fault.problem.hint)


def _path_of(variable: str) -> tuple[str, ...]:
    return tuple(variable.lower().removeprefix(_PREFIX.lower()).split(_DELIMITER))


def _shared_steps(one: tuple[str, ...], other: tuple[str | int, ...]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _is_of_environment(path: tuple[str | int, ...], said: object, written: object) -> bool:
    """Whether what is at `path`, or is missing there, is as the environment `said` it and not as the file has it.

    Mappings of both are one mapping; anything else that the environment says takes the place of what is in the file.
    """
    for step in path:
        if not isinstance(said, Mapping):
            return True
        if step not in said:
            return not isinstance(written, Mapping)
        said = said[step]
        written = written.get(step) if isinstance(written, Mapping) else None
    return bool(path)


def _without_constructor_switches(document: Document) -> dict[str, Any]:
    """The file's keys; one with a leading `_` would be taken for a switch of pydantic-settings, so it is refused."""
    for key in document.value:
        if key.startswith("_"):
            raise PolicyErrors([problem_at(document, (key,), f"unknown field `{key}`", key=True)])
    return dict(document.value)
