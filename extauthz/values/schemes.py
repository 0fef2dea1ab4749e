"""How a caller proves who it is in the Authorization header (RFC 9110 section 11)."""

from typing import Final, Literal

import msgspec

Scheme = Literal["Bearer", "DPoP"]
"""The schemes of tokens: RFC 6750 and RFC 9449."""


class Schemes(msgspec.Struct, frozen=True, kw_only=True):
    """Those that the configuration takes; `proof_algorithms` are of DPoP's proofs, empty where that is not taken."""

    bearer: bool = False
    proof_algorithms: tuple[str, ...] = ()


NO_SCHEMES: Final = Schemes()
"""Where callers are known by certificates and cookies alone."""
