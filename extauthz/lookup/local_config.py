"""The `geo:` and `addresses:` blocks of extauthz.yaml: the files that tell of addresses.

The rule: what is not configured is not known, and a rule that reads it is refused when it is loaded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from extauthz.policy.field_types import Name
from extauthz.values.block import Block

Kind = Literal["city", "asn", "anonymous"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_GIVES: Final[Mapping[Kind, frozenset[str]]] = {
    "city": frozenset({"country", "continent", "city", "latitude", "longitude", "accuracy_km"}),
    "asn": frozenset({"asn"}),
    "anonymous": frozenset({"anonymous"}),
}


class GeoSettings(Block):
    """The databases of addresses, each a file in MaxMind's format."""

    city: Path | None = None
    """The file with a database of cities or countries, in MaxMind's format, for `geo.country` and the like. It is read
    again when it changes."""
    asn: Path | None = None
    """The file with a database of autonomous systems, for `geo.asn`."""
    anonymous: Path | None = None
    """The file with a database of addresses that hide who calls, for `geo.anonymous`."""

    def paths(self, base: Path) -> Mapping[Kind, Path]:
        """The files that are configured; `base` is where relative paths start."""
        configured: dict[Kind, Path | None] = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: base / path for kind, path in configured.items() if path is not None}

    @property
    def fields(self) -> frozenset[str]:
        """The fields of `geo` that these databases can give."""
        return frozenset().union(*(_GIVES[kind] for kind in self.paths(Path())))


AddressFiles = Mapping[Name, Path]
"""Lists of addresses and networks by name, each a file with one entry a line."""
