"""Rules for a filter that asks only where another one has left metadata."""

from collections.abc import Iterator, Sequence

from extauthz.envoy.validate.filters import Filter
from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import Everything, Http, Tcp, settings_of
from extauthz.envoy.validate.spots import Spot

_NAMESPACES = ("envoy.filters.http.rbac", "envoy.filters.network.rbac")
_MATCHED = "shadow_effective_policy_id"
"""Where `rbac` writes which of its `shadow_rules` a request has met; nothing if none."""


@rule(
    "filter-enabled-metadata",
    "error",
    "requests without this metadata are not asked about, and a filter in front decides whether there is any",
    "remove `filter_enabled_metadata`",
)
def filter_enabled_metadata(all_of_it: Everything) -> Iterator[Hit]:
    for _, before, condition in _conditions(all_of_it):
        if not _by_rbac(condition, before):
            yield condition, f"`{condition['filter'].text}`"


@rule(
    "filter-enabled-by-rbac",
    "warning",
    "the rules of an `rbac` filter in front decide which requests are asked about (Istio writes them from an"
    " AuthorizationPolicy with `action: CUSTOM`), and the rest goes through unasked",
    "write `rules: [{}]` in that policy, so that all are asked about",
)
def filter_enabled_by_rbac(all_of_it: Everything) -> Iterator[Hit]:
    for chain, before, condition in _conditions(all_of_it):
        rbacs = _by_rbac(condition, before)
        if rbacs and not any(_meets(condition, one, chain) for one in rbacs):
            yield condition, ""


def _conditions(all_of_it: Everything) -> Iterator[tuple[Http | Tcp, Sequence[Filter], Spot]]:
    """Each condition, with the chain that it is of and the filters in front."""
    for chain in all_of_it.chains:
        for filters in (chain.filters, chain.upgraded) if isinstance(chain, Http) else (chain.filters,):
            for number, one in enumerate(filters):
                if one.kind == "ext_authz" and (condition := one.config["filter_enabled_metadata"]).exists:
                    yield chain, filters[:number], condition


def _by_rbac(condition: Spot, before: Sequence[Filter]) -> list[Filter]:
    """The filters that can meet it, if it is one of `rbac`."""
    found = [one for one in before if one.kind == "rbac" and not one.spot["disabled"].flag()]
    return found if condition["filter"].text in _NAMESPACES else []


def _meets(condition: Spot, rbac: Filter, chain: Http | Tcp) -> bool:
    """Whether this filter leaves such metadata for every request."""
    if isinstance(chain, Http) and settings_of(chain, rbac.name):
        return False  # on some route it goes by other rules
    policies = rbac.config["shadow_rules"]["policies"].entries
    key = rbac.config["shadow_rules_stat_prefix"].text + _MATCHED
    if [step["key"].text for step in condition["path"].items] != [key] or condition["invert"].flag():
        return False
    # The first policy that is met gives its name, so that all names must be right, and one policy always met.
    return all(_matches(condition["value"], name) for name, _ in policies) and any(
        _always(policy) for _, policy in policies
    )


def _matches(value: Spot, name: str) -> bool:
    exact, prefix = value["string_match"]["exact"], value["string_match"]["prefix"]
    return name == exact.text or (prefix.exists and name.startswith(prefix.text)) or value["present_match"].flag()


def _always(policy: Spot) -> bool:
    """Whether every request meets it; one of several permissions is enough, and one of several principals."""
    conditional = any(policy[name].exists for name in ("condition", "checked_condition", "cel_config"))
    parts = (policy["permissions"].items, policy["principals"].items)
    return not conditional and all(any(_is_any(one) for one in part) for part in parts)


def _is_any(part: Spot) -> bool:
    """Whether a permission or a principal is any."""
    if part["any"].flag():
        return True
    every = (*part.at("and_rules", "rules").items, *part.at("and_ids", "ids").items)
    either = (*part.at("or_rules", "rules").items, *part.at("or_ids", "ids").items)
    return (bool(every) and all(map(_is_any, every))) or any(map(_is_any, either))


RULES = (filter_enabled_metadata, filter_enabled_by_rbac)
