"""The `identity.workload:` block of extauthz.yaml: which sources prove a workload, and whose workloads are known.

The rule: a source that could prove nothing, or could prove what a client wrote itself, is refused when it is loaded;
so is a block of a source that is not in use, because whoever wrote it believes that it counts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from extauthz.identity.key_config import KeySource
from extauthz.identity.workload_token_config import AUTHORIZATION, JwtSvidSettings, KubernetesSettings, TrustDomain
from extauthz.values.block import Block, Switch, distinct

WorkloadSource = Literal["source_principal", "peer_certificate", "xfcc", "client_cert", "jwt_svid", "kubernetes"]

_ALWAYS_PROVE: Final = frozenset({"source_principal", "peer_certificate", "jwt_svid", "kubernetes"})


class XfccSettings(Block):
    """How X-Forwarded-Client-Cert is read."""

    accept: Literal["last", "only", "none"] = "last"
    """`last` takes the last element, the immediate peer under `APPEND_FORWARD`; `only` refuses more than one; `none`
    ignores the header."""
    without_principal: Switch = False
    """Whether the header alone proves a workload. Only for a gateway that nobody else can go around: over plaintext any
    client can write the header."""

    @model_validator(mode="after")
    def _something_is_accepted(self) -> Self:
        if self.without_principal and self.accept == "none":
            raise ValueError("`without_principal` needs the header; `accept: none` ignores it")
        return self


class ClientCertSettings(Block):
    """How Client-Cert is read."""

    without_principal: Switch = False
    """Whether the header alone proves a workload. Only for a gateway that nobody else can go around: over plaintext any
    client can write the header."""


class PeerCertificateSettings(Block):
    """How the certificate is judged that Envoy copies."""

    bundles: Mapping[TrustDomain, Path] = Field(default_factory=dict)
    """The files with the authorities of each trust domain, in PEM or as SPIFFE bundles; a certificate that none of them
    has issued is refused. Without them Envoy's own verification is relied upon."""


class WorkloadSettings(Block):
    """Whose workloads are known, and the sources that prove them."""

    trust_domains: tuple[TrustDomain, ...] | None = Field(default=None, min_length=1)
    """The trust domains whose workloads are known; whoever is of another one is no workload. Without it all are known:
    name yours."""
    sources: Annotated[tuple[WorkloadSource, ...], AfterValidator(distinct)] = Field(
        default=("source_principal", "xfcc"), min_length=1
    )
    """What may prove a workload. Where several speak they must name the same one."""
    xfcc: XfccSettings = XfccSettings()
    """How X-Forwarded-Client-Cert is read."""
    peer_certificate: PeerCertificateSettings = PeerCertificateSettings()
    """How the certificate is judged that Envoy copies into the question."""
    client_cert: ClientCertSettings = ClientCertSettings()
    """How Client-Cert (RFC 9440) is read."""
    jwt_svid: JwtSvidSettings | None = None
    """How JWT-SVIDs are read; needed if `sources` has `jwt_svid`."""
    kubernetes: KubernetesSettings | None = None
    """How tokens of Kubernetes service accounts are read; needed if `sources` has `kubernetes`."""
    attributes: Path | None = None
    """The file in which the platform writes what it knows of workloads, for `workload.attributes`. Who can write it
    decides what conditions see."""

    @property
    def keys(self) -> tuple[KeySource, ...]:
        """Everybody whose keys are needed to verify tokens of workloads."""
        cluster = None if self.kubernetes is None else self.kubernetes.keys
        domains = () if self.jwt_svid is None else self.jwt_svid.keys_of(self.trust_domains)
        return domains if cluster is None else (*domains, cluster)

    @property
    def reads_bearer(self) -> bool:
        """Whether tokens of workloads come in the Authorization header."""
        return any(block is not None and AUTHORIZATION in block.places for block in (self.jwt_svid, self.kubernetes))

    @model_validator(mode="after")
    def _blocks_are_in_use(self) -> Self:
        for source in get_args(WorkloadSource):
            if source in self.model_fields_set and source not in self.sources:
                raise ValueError(f"`{source}` is configured and not in use; add it to `sources`, or remove its block")
        if "jwt_svid" in self.sources and self.jwt_svid is None:
            raise ValueError("`sources: [jwt_svid]` needs its block; write `jwt_svid: {audiences: […], bundles: {…}}`")
        if "kubernetes" in self.sources and self.kubernetes is None:
            raise ValueError(
                "`sources: [kubernetes]` needs its block;"
                " write `kubernetes: {trust_domain: …, issuer: …, audiences: […], jwks: …}`"
            )
        return self

    @model_validator(mode="after")
    def _some_source_can_prove(self) -> Self:
        if not (_ALWAYS_PROVE.intersection(self.sources) or self._hearsay_proves()):
            listed = ", ".join(self.sources)
            raise ValueError(
                f"`sources: [{listed}]` proves nothing alone; add `source_principal`, or set `without_principal`"
                " if nobody but the gateway can reach this server"
            )
        return self

    @model_validator(mode="after")
    def _nothing_goes_past_the_bundles(self) -> Self:
        if self.peer_certificate.bundles and "source_principal" in self.sources:
            raise ValueError(
                "`source_principal` would prove what none of `peer_certificate.bundles` vouches for;"
                " remove it from `sources`"
            )
        return self

    def _hearsay_proves(self) -> bool:
        return self.xfcc.without_principal or self.client_cert.without_principal

    @model_validator(mode="after")
    def _trust_domains_are_known(self) -> Self:
        if self.jwt_svid is not None and self.jwt_svid.workload_api is not None and self.trust_domains is None:
            raise ValueError("`workload_api` vouches for whole trust domains; list those that count in `trust_domains`")
        for place, domains in self._named_domains().items():
            for domain in domains:
                if self.trust_domains is not None and domain not in self.trust_domains:
                    raise ValueError(f"{place}: `{domain}` is not in `trust_domains`; add it there, or remove it here")
        return self

    def _named_domains(self) -> Mapping[str, tuple[str, ...]]:
        return {
            "peer_certificate.bundles": tuple(self.peer_certificate.bundles),
            "jwt_svid.bundles": () if self.jwt_svid is None else tuple(self.jwt_svid.bundles),
            "kubernetes.trust_domain": () if self.kubernetes is None else (self.kubernetes.trust_domain,),
        }
