"""What `extauthz.yaml` may hold: the blocks of all parts together, and what only several of them know.

The rules: unknown keys are errors, and every key says below it what it does. Paths are relative to the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from extauthz.check.activity_config import SessionSettings
from extauthz.check.revocation_config import RevocationSettings
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
from extauthz.policy.request_config import PathSettings, RequestSettings
from extauthz.record.config import AuditSettings
from extauthz.record.events_config import EventsSettings
from extauthz.transport.listen_config import ListenSettings
from extauthz.transport.tls import Tls, tls_of
from extauthz.values.block import Block, Switch, with_a_value
from extauthz.values.secret import SecretFile
from extauthz.web.admin_config import AdminSettings
from extauthz.web.approvals_config import ApprovalsSettings
from extauthz.web.decisions_config import DecisionsSettings

PREFIX = "EXTAUTHZ_"
"""What the names of variables begin with that override keys."""
DELIMITER = "__"
"""What stands between the keys in such a name."""


class ReloadSettings(Block):
    """When policies and key sets are read again besides on SIGHUP."""

    watch: Switch = True
    """Whether policies, key sets and other files are read again when they change. With `false` only on SIGHUP."""


class LogSettings(Block):
    """What the server says of itself."""

    format: Literal["auto", "json", "console"] = "auto"
    """`json`, or `console` for people; `auto` is text on a terminal and JSON elsewhere."""
    level: Literal["info", "warning", "error"] = "info"
    """From which level on lines are written: `warning` leaves out what is only told, `error` what can wait."""


class Settings(BaseSettings):
    """The whole of `extauthz.yaml`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        extra="forbid",
        frozen=True,
        validate_default=False,
        defer_build=True,  # a worker is given its settings ready made, and reads none
    )

    _base: Path = PrivateAttr(default_factory=Path)
    listen: ListenSettings = Field(default_factory=ListenSettings)
    """The addresses of the server. All are of this machine alone by default."""
    policies: tuple[Path, ...] = Field(default=(), min_length=1)
    """Files and folders of policies, read recursively. They or `bundles` must be there."""
    bundles: tuple[BundleSettings, ...] = ()
    """Signed archives of policies, from a file or over HTTPS."""
    bundle_cache: Path = Path("bundles")
    """The folder that remembers the last accepted bundles. Put it on a volume that outlives the server, or an older
    bundle may be taken after a restart."""
    reload: ReloadSettings = Field(default_factory=ReloadSettings)
    """When files are read again."""
    store: str = Field(default="sqlite:///extauthz.db", repr=False)  # with a password, maybe
    """Where proofs, approvals and revocations are: `sqlite:///PATH` for one machine, `redis://…` for several, `memory:`
    to try things, since it forgets all at the end."""
    keys: SecretFile = Path("keys.json")
    """The file with the keys that sign and seal what is in the store and in records. It is made on the first start, but
    not for a Redis; without a backup of it all proofs and secrets are lost."""
    revocations: RevocationSettings = Field(default_factory=RevocationSettings)
    """What happens when the store is silent about revocations."""
    sessions: SessionSettings = Field(default_factory=SessionSettings)
    """How the activity of sessions is remembered."""
    signals: SignalSettings = Field(default_factory=SignalSettings)
    """Who may say that sessions have ended and users or devices are at risk."""
    admin: AdminSettings = Field(default_factory=AdminSettings)
    """Who may use the API for subjects."""
    identity: IdentitySettings = Field(default_factory=IdentitySettings)
    """Who workloads and users are, and what proves it."""
    client: ClientSettings = Field(default_factory=ClientSettings)
    """How the client's address is found."""
    stepup: StepUpSettings = Field(default_factory=StepUpSettings)
    """The factors that need more than a user and a code."""
    approvals: ApprovalsSettings = Field(default_factory=ApprovalsSettings)
    """Who approves, how they come, and how they are told."""
    devices: DeviceSettings = Field(default_factory=DeviceSettings)
    """By what a device is known."""
    paths: PathSettings = Field(default_factory=PathSettings)
    """Which paths are let in that could be read in two ways."""
    request: RequestSettings = Field(default_factory=RequestSettings)
    """What Envoy sends of a request."""
    audit: AuditSettings | None = None
    """Where decisions are recorded. Without it nothing is."""
    decisions: DecisionsSettings | None = None
    """The page on which operators find decisions. It needs `audit` and `approvals.url`."""
    events: EventsSettings = Field(default_factory=EventsSettings)
    """Who is told of denials, challenges, holds and what comes of them."""
    logs: LogSettings = Field(default_factory=LogSettings)
    """What the server says of itself."""
    geo: GeoSettings = Field(default_factory=GeoSettings)
    """Databases of addresses, for `geo` in conditions."""
    addresses: AddressFiles = {}
    """Files with lists of addresses and networks, one a line, by the name that `listed("NAME", …)` uses. They are read
    again when they change."""
    attributes: AttributesSettings = ()
    """Sources outside that are asked for facts, for `attributes` in conditions."""

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
