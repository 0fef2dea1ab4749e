"""The `identity:` and `client:` blocks of extauthz.yaml (design section 7), with the defaults of design section 3.

The rule: what could never identify anybody, or could identify somebody in two ways, is refused when it is loaded.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from extauthz.identity.dpop import ALGORITHMS as PROOF_ALGORITHMS
from extauthz.identity.key_config import KeySource
from extauthz.identity.user_config import IntrospectionSource, JwtSource, UserSource
from extauthz.identity.workload_config import WorkloadSettings
from extauthz.values.block import Block, Count
from extauthz.values.schemes import Schemes


class IdentitySettings(Block):
    """Who calls. Without it: workloads of any trust domain by `source.principal`, and no users."""

    workload: WorkloadSettings = WorkloadSettings()
    """How workloads are known. The default takes the certificate by which Envoy knows its caller."""
    users: tuple[UserSource, ...] = ()
    """Who issues the tokens of users, and where they are read. Without any no user is known; two sources may not read
    one issuer's tokens from one place."""

    @property
    def keys(self) -> tuple[KeySource, ...]:
        """Everybody whose keys are needed."""
        users = (source.keys for source in self.users if isinstance(source, JwtSource))
        return (*users, *self.workload.keys)

    @property
    def schemes(self) -> Schemes:
        """How callers prove who they are in the Authorization header."""
        taken = {scheme for source in self.users for scheme in source.schemes}
        return Schemes(
            bearer=self.workload.reads_bearer or "Bearer" in taken,
            proof_algorithms=PROOF_ALGORITHMS if "DPoP" in taken else (),
        )

    @model_validator(mode="after")
    def _no_issuer_speaks_for_both(self) -> Self:
        cluster = self.workload.kubernetes
        for source in self.users:
            if cluster is not None and source.issuer == cluster.issuer:
                raise ValueError(
                    f"`{source.issuer}` is the issuer of `{source.name}` and of `workload.kubernetes`; its tokens are"
                    " those of users or of workloads, remove one of them"
                )
        return self

    @model_validator(mode="after")
    def _each_token_has_one_source(self) -> Self:
        names: set[str] = set()
        readers: dict[tuple[str, str], str] = {}
        askers: dict[str, str] = {}
        for source in self.users:
            if source.name in names:
                raise ValueError(f"users: `{source.name}` is the name of two sources")
            names.add(source.name)
            for place in source.places:
                other = readers.setdefault((place, source.issuer), source.name)
                if other != source.name:
                    raise ValueError(
                        f"users: `{other}` and `{source.name}` both read tokens of `{source.issuer}` from `{place}`;"
                        " join them or read from different places"
                    )
                # Such a token does not say whose it is, and nobody else's issuer may see it.
                if isinstance(source, IntrospectionSource) and askers.setdefault(place, source.name) != source.name:
                    raise ValueError(
                        f"users: `{askers[place]}` and `{source.name}` both ask about tokens from `{place}`;"
                        " read from different places"
                    )
        return self


class ClientSettings(Block):
    """How the client's address is found in X-Forwarded-For."""

    trusted_hops: Count = Field(default=0, ge=0, le=32)
    """How many proxies in front of Envoy are trusted to write X-Forwarded-For, up to 32. With too many a client chooses
    its own address, with too few every address is that of a proxy."""
    xff: Literal["appended", "untouched"] = "appended"
    """Whether Envoy has `appended` its own peer to X-Forwarded-For (`use_remote_address: true`) or left it `untouched`.
    The wrong one takes the address of somebody else."""
