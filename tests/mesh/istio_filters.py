"""The filters that Istio writes for a provider and the rules of a CUSTOM policy.

First a filter that judges the rules and lets everything pass, but notes the name of the rule that fits; then ext_authz,
which is on where there is such a note. Where `make istioctl` has built Istio's own translation, a test compares.
"""

from typing import Any

from mesh.documents import mesh

Tree = dict[str, Any]
PREFIX = "istio_ext_authz_"
FILTERS = "type.googleapis.com/envoy.extensions.filters.http"


def asking(policy: Tree) -> list[Tree]:
    """The two HTTP filters for an AuthorizationPolicy with action CUSTOM."""
    said = policy["metadata"]
    name = policy["spec"]["provider"]["name"]
    prefix = f"istio-ext-authz-{name}"
    rules = {
        f"{prefix}-ns[{said['namespace']}]-policy[{said['name']}]-rule[{number}]": {
            "permissions": [_permission(rule)],
            "principals": [{"and_ids": {"ids": [{"any": True}]}}],
        }
        for number, rule in enumerate(policy["spec"]["rules"])
    }
    judging = {
        "@type": f"{FILTERS}.rbac.v3.RBAC",
        "shadow_rules": {"action": "DENY", "policies": rules},
        "shadow_rules_stat_prefix": PREFIX,
    }
    return [
        {"name": "envoy.filters.http.rbac", "typed_config": judging},
        {"name": "envoy.filters.http.ext_authz", "typed_config": _ext_authz(name, prefix)},
    ]


def _ext_authz(name: str, prefix: str) -> Tree:
    (provider,) = (one["envoyExtAuthzGrpc"] for one in mesh()["extensionProviders"] if one["name"] == name)
    host, body = provider["service"], provider.get("includeRequestBodyInCheck")
    settings: Tree = {
        "@type": f"{FILTERS}.ext_authz.v3.ExtAuthz",
        "grpc_service": {
            "envoy_grpc": {"cluster_name": f"outbound|{provider['port']}||{host}", "authority": host},
            "timeout": provider["timeout"],
        },
        "status_on_error": {"code": "ServiceUnavailable"},
        "transport_api_version": "V3",
        "filter_enabled_metadata": {
            "filter": "envoy.filters.http.rbac",
            "path": [{"key": f"{PREFIX}shadow_effective_policy_id"}],
            "value": {"string_match": {"prefix": prefix}},
        },
    }
    if body is not None:
        settings["with_request_body"] = {
            "max_request_bytes": body["maxRequestBytes"],
            "allow_partial_message": body["allowPartialMessage"],
            "pack_as_bytes": body["packAsBytes"],
        }
    return settings


def _permission(rule: Tree) -> Tree:
    if not rule:
        return {"and_rules": {"rules": [{"any": True}]}}
    (to,) = rule["to"]
    operation = to["operation"]
    rules: list[Tree] = []
    if hosts := operation.get("notHosts"):
        rules.append({"not_rule": {"or_rules": {"rules": [_host(host) for host in hosts]}}})
    if paths := operation.get("paths"):
        rules.append({"or_rules": {"rules": [_path(path) for path in paths]}})
    if paths := operation.get("notPaths"):
        rules.append({"not_rule": {"or_rules": {"rules": [_path(path) for path in paths]}}})
    return {"and_rules": {"rules": rules}}


def _matcher(pattern: str) -> Tree:
    return {"prefix": pattern[:-1]} if pattern.endswith("*") else {"exact": pattern}


def _host(host: str) -> Tree:
    return {"header": {"name": ":authority", "string_match": {**_matcher(host), "ignore_case": True}}}


def _path(path: str) -> Tree:
    return {"url_path": {"path": _matcher(path)}}
