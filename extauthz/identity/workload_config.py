"""The `identity.workload:` block of extauthz.yaml: which sources prove a workload, and whose workloads are known.

The rule: a source that could prove nothing, or could prove what a client wrote itself, is refused when it is loaded.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from extauthz.identity.spiffe import is_trust_domain
from extauthz.values.block import Block, Switch, distinct

WorkloadSource = Literal["source_principal", "xfcc"]


def _trust_domain(text: str) -> str:
    if not is_trust_domain(text):
        raise ValueError(f"`{text}` is no trust domain; use lower case letters, digits, `.`, `-` and `_` only")
    return text


class XfccSettings(Block):
    """How X-Forwarded-Client-Cert is read.

    `accept`: `last` takes the last element (the immediate peer under APPEND_FORWARD), `only` refuses more than one,
    `none` ignores the header. `without_principal`: the header alone proves a workload; only for a gateway that is the
    only one who can reach this server, because over plaintext a client can write the header.
    """

    accept: Literal["last", "only", "none"] = "last"
    without_principal: Switch = False

    @model_validator(mode="after")
    def _something_is_accepted(self) -> Self:
        if self.without_principal and self.accept == "none":
            raise ValueError("`without_principal` needs the header; `accept: none` ignores it")
        return self


class WorkloadSettings(Block):
    """Whose workloads are known: `trust_domains` (`None`: any) and the sources that prove them."""

    trust_domains: tuple[Annotated[str, AfterValidator(_trust_domain)], ...] | None = Field(default=None, min_length=1)
    sources: Annotated[tuple[WorkloadSource, ...], AfterValidator(distinct)] = Field(
        default=("source_principal", "xfcc"), min_length=1
    )
    xfcc: XfccSettings = XfccSettings()

    @model_validator(mode="after")
    def _some_source_can_prove(self) -> Self:
        if "source_principal" not in self.sources and not self.xfcc.without_principal:
            raise ValueError(
                "`sources: [xfcc]` proves nothing alone; add `source_principal`, or set `xfcc.without_principal`"
                " if nobody but the gateway can reach this server"
            )
        return self
