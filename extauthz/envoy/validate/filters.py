"""Filters, of connections and of requests: what each is, and where its settings are."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from extauthz.envoy.validate.findings import Hit
from extauthz.envoy.validate.resources import Resources
from extauthz.envoy.validate.spots import Spot

EXT_AUTHZ: Final = "ext_authz"
_KIND = re.compile(r"filters\.(?:http|network)\.([a-z0-9_]+)\.")
_HOLDING = frozenset({"composite", "filter_chain"})
"""Filters that hold others."""


class Filter(msgspec.Struct, frozen=True):
    """A filter: by which name routes know it, what it is (`ext_authz`, `lua`), its entry, and its settings."""

    name: str
    kind: str
    spot: Spot
    config: Spot

    @property
    def is_chosen(self) -> bool:
        """Whether another filter, or a matcher around it, decides whether it runs."""
        config = self.spot["typed_config"]
        return type_of(config).endswith("ExtensionWithMatcher") or (
            self.kind == EXT_AUTHZ and unpacked(config).steps != self.config.steps and config.exists
        )


def filter_of(spot: Spot, resources: Resources) -> Filter:
    """The filter of this entry of a chain, with settings that have come by discovery where they are known."""
    config = unpacked(spot["typed_config"])
    name = spot["name"].text
    if spot["config_discovery"].exists and name in resources.filters:
        config = unpacked(resources.filters[name]["typed_config"])
    types = [one.text for one in spot.at("config_discovery", "type_urls").items]
    said = (type_of(config), spot.at("typed_config", "type_url").text, *types, f"{name}.")
    kinds = [found[1] for found in map(_KIND.search, said) if found is not None]
    kind = kinds[0] if kinds else ""
    inner = (one for one in spot.inner() if type_of(one).endswith(".filters.http.ext_authz.v3.ExtAuthz"))
    if kind in _HOLDING and (asking := next(inner, None)) is not None:
        return Filter(name, EXT_AUTHZ, spot, asking)
    return Filter(name, kind, spot, config)


def kind_of(spot: Spot, resources: Resources) -> str:
    """What a filter is, as `Filter.kind`."""
    return filter_of(spot, resources).kind


def type_of(config: Spot) -> str:
    """The name of the message of a `typed_config`."""
    return config["@type"].text


def unpacked(config: Spot) -> Spot:
    """What a `typed_config` holds, also where it wraps something else."""
    while True:
        if type_of(config).endswith("TypedStruct"):
            return config["value"]
        if type_of(config).endswith("ExtensionWithMatcher"):
            config = config.at("extension_config", "typed_config")
            continue
        return config


def of_kinds(filters: Sequence[Filter], *kinds: str) -> Iterator[Hit]:
    """What rules find that forbid certain filters at a place."""
    for one in filters:
        if one.kind in kinds:
            yield one.spot, f"`{one.kind}`"
