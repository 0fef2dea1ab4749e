"""How a caller proves who it is in the Authorization header (RFC 9110 section 11)."""

from dataclasses import dataclass
from typing import Final, Literal

Scheme = Literal["Bearer", "DPoP"]
"""The schemes of tokens: RFC 6750 and RFC 9449."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schemes:
    """Those that the configuration takes; `proof_algorithms` are of DPoP's proofs, empty where that is not taken."""

    bearer: bool = False
    proof_algorithms: tuple[str, ...] = ()


NO_SCHEMES: Final = Schemes()
"""Where callers are known by certificates and cookies alone."""
