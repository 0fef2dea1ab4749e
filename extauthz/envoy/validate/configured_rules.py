"""Rules for what extauthz.yaml takes for granted of Envoy."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from extauthz.envoy.validate.call_rules import QUICK
from extauthz.envoy.validate.connection_rules import ESCAPED_SLASHES, FORWARDING
from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import Everything, Http, settings_of
from extauthz.envoy.validate.spots import REDACTED, Spot

MARGIN = 0.3
"""Seconds before a call's deadline at which a hold ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """What the server's configuration expects of Envoy.

    `headers` are the lower-case names of those that are sent, `None` for all. `accepted` are the relaxations of paths
    (`paths.accept`). `port` is that of `listen.grpc`. `held_at_once` is how many calls may be held, 0 for none,
    `longest_hold` the longest `hold` of a rule in seconds, 0 for none. `namespaces` are those of the metadata that is
    read, `certificate` is why the client's certificate is needed, empty if it is not. `has_pages` is whether there is
    anything below `/.extauthz/`.
    """

    trusted_hops: int = 0
    xff_appended: bool = True
    headers: frozenset[str] | None = None
    buffered: bool = False
    accepted: frozenset[str] = frozenset()
    port: int | None = None
    held_at_once: int = 0
    longest_hold: float = 0.0
    namespaces: frozenset[str] = frozenset()
    certificate: str = ""
    xfcc_proves: bool = False
    xfcc_only_one: bool = False
    has_pages: bool = True


class Compared(msgspec.Struct, frozen=True):
    """Both sides."""

    envoy: Everything
    server: Configured

    def https(self) -> Iterator[Http]:
        """The connection managers that ask."""
        return (http for http in self.envoy.https if http.guard is not None and http.spot.exists)


@rule(
    "configured-hops",
    "error",
    "Envoy and extauthz count another number of trusted proxies, so that one of them takes the client's own words for"
    " its address",
    "write the same number as `xff_num_trusted_hops` and as `client.trusted_hops`",
)
def hops(both: Compared) -> Iterator[Hit]:
    for http in both.https():
        said = int(http.spot["xff_num_trusted_hops"].number())
        if http.spot["use_remote_address"].flag() and said != both.server.trusted_hops:
            yield http.spot["xff_num_trusted_hops"], f"{said} here, {both.server.trusted_hops} there"


@rule(
    "configured-xff",
    "error",
    "`client.xff` of extauthz says otherwise of whether Envoy adds its peer to X-Forwarded-For: the address is off by"
    " one, and may be the client's own words",
    "write `client: {xff: appended}` with `use_remote_address: true`, else `client: {xff: untouched}`",
)
def xff(both: Compared) -> Iterator[Hit]:
    for http in both.https():
        appends = http.spot["use_remote_address"].flag() and not http.spot["skip_xff_append"].flag()
        if appends != both.server.xff_appended:
            yield http.spot["use_remote_address"], "Envoy appends" if appends else "Envoy does not append"


@rule(
    "configured-headers",
    "error",
    "rules may read a header that Envoy does not send: `not X` is met by everybody",
    "send it (`allowed_headers`, `disallowed_headers`), or take it out of `request.headers` of extauthz.yaml",
)
def headers(both: Compared) -> Iterator[Hit]:
    for http in both.https():
        for guard in http.guards:
            config, declared = guard.config, both.server.headers
            if declared is None:
                for name in ("allowed_headers", "disallowed_headers"):
                    if config[name].exists:
                        yield config[name], "`request.headers` is `all`"
                continue
            for header in sorted(declared):
                if config["allowed_headers"].exists and not _matches(config["allowed_headers"], header):
                    yield config["allowed_headers"], f"`{header}` is missing"
                elif _matches(config["disallowed_headers"], header):
                    yield config["disallowed_headers"], f"`{header}` is among them"


@rule(
    "configured-body",
    "error",
    "`request.buffered` says that Envoy buffers bodies, and here it does not: a request with a body is taken for one"
    " without",
    'write `with_request_body`, or the context extension `extauthz.buffered: "false"` on such routes',
)
def body(both: Compared) -> Iterator[Hit]:
    if not both.server.buffered:
        return
    for http in both.https():
        for guard in http.guards:
            if not guard.config["with_request_body"].exists:
                yield guard.config["with_request_body"], ""
            for settings in settings_of(http, guard.name):
                check = settings["check_settings"]
                said = check["context_extensions"]["extauthz.buffered"]
                denied = said.text in {"false", REDACTED} or not said.flag(default=True)
                if check["disable_request_body_buffering"].flag() and not denied:
                    yield check["disable_request_body_buffering"], ""


@rule(
    "configured-paths",
    "error",
    "`paths.accept` of extauthz lets a spelling pass that Envoy does not straighten: extauthz and the service read two"
    " paths",
    "let Envoy straighten it (`normalize_path`, `merge_slashes`, `path_with_escaped_slashes_action`), or accept it not",
)
def paths(both: Compared) -> Iterator[Hit]:
    for http in both.https():
        spot, accepted = http.spot, both.server.accepted
        if "dot_segment" in accepted and not spot["normalize_path"].flag():
            yield spot["normalize_path"], "`dot_segment`"
        if "empty_segment" in accepted and not spot["merge_slashes"].flag():
            yield spot["merge_slashes"], "`empty_segment`"
        action = spot["path_with_escaped_slashes_action"]
        if "encoded_slash" in accepted and not action.one_of(ESCAPED_SLASHES).startswith("UNESCAPE"):
            yield action, "`encoded_slash`"


@rule(
    "configured-xfcc",
    "error",
    "extauthz knows workloads by X-Forwarded-Client-Cert, and this Envoy does not write it",
    "write `forward_client_cert_details: SANITIZE_SET` and `set_current_client_cert_details: {uri: true}`",
)
def xfcc(both: Compared) -> Iterator[Hit]:
    for http in both.https():
        said = http.spot["forward_client_cert_details"]
        if both.server.xfcc_proves and said.one_of(FORWARDING) == "SANITIZE":
            yield said, ""


@rule(
    "configured-xfcc-elements",
    "error",
    "`xfcc: {accept: only}` refuses every request whose header has two elements, and Envoy appends a second one",
    "write `forward_client_cert_details: SANITIZE_SET`, or `xfcc: {accept: last}`",
)
def xfcc_elements(both: Compared) -> Iterator[Hit]:
    for http in both.https():
        said = http.spot["forward_client_cert_details"]
        if both.server.xfcc_only_one and said.one_of(FORWARDING) == "APPEND_FORWARD":
            yield said, ""


@rule(
    "configured-certificate",
    "error",
    "extauthz needs the client's certificate, and Envoy does not send it",
    "write `include_peer_certificate: true`",
)
def certificate(both: Compared) -> Iterator[Hit]:
    for http in both.https():
        for guard in http.guards:
            if both.server.certificate and not guard.config["include_peer_certificate"].flag():
                yield guard.config["include_peer_certificate"], f"`{both.server.certificate}`"


@rule(
    "configured-metadata",
    "error",
    "extauthz reads claims out of this metadata, and Envoy does not send it",
    "add the namespace to `metadata_context_namespaces`, and the filter that writes it in front",
)
def metadata(both: Compared) -> Iterator[Hit]:
    for http in both.https():
        for guard in http.guards:
            sent = {one.text for one in guard.config["metadata_context_namespaces"].items}
            for namespace in sorted(both.server.namespaces - sent):
                yield guard.config["metadata_context_namespaces"], f"`{namespace}`"


@rule(
    "configured-address",
    "warning",
    "no endpoint has the port of `listen.grpc`: another server may answer in the place of extauthz",
    "write the port of `listen.grpc`, unless something in between maps it",
)
def address(both: Compared) -> Iterator[Hit]:
    for name in dict.fromkeys(call.cluster for call in both.envoy.calls):
        cluster = both.envoy.clusters.get(name)
        found = [] if cluster is None else both.envoy.addresses(cluster)
        ports = {int(one["socket_address"]["port_value"].number()) for one in found if one["socket_address"].exists}
        if both.server.port is not None and ports and both.server.port not in ports:
            yield found[0], f"`{name}`"


@rule(
    "configured-held",
    "warning",
    "extauthz holds more calls at a time than this cluster lets through: those beyond get 403 or 503 at once",
    "write `max_requests` of `approvals.holding.at_once` and some more",
)
def held(both: Compared) -> Iterator[Hit]:
    longest = {call.cluster for call in both.envoy.calls if call.seconds > QUICK}
    for name in sorted(longest):
        cluster = both.envoy.clusters.get(name)
        for threshold in () if cluster is None else cluster["circuit_breakers"]["thresholds"].items:
            limit = threshold["max_requests"].number(1024)
            if limit < both.server.held_at_once and threshold["priority"].one_of(("DEFAULT", "HIGH")) == "DEFAULT":
                yield threshold, f"{limit:.0f} of {both.server.held_at_once} through `{name}`"


@rule(
    "configured-hold",
    "warning",
    "a rule holds calls for longer than any call from here may take, so that nobody's answer is waited for until then",
    "write a `timeout` that is longer than the longest `hold` on the routes of such rules",
)
def hold(both: Compared) -> Iterator[Hit]:
    longest = max(both.envoy.calls, key=lambda call: call.seconds, default=None)
    if longest is not None and both.server.longest_hold and longest.seconds - MARGIN < both.server.longest_hold:
        yield longest.spot, f"{longest.seconds:g} s here, {both.server.longest_hold:g} s there"


def _matches(listed: Spot, header: str) -> bool:
    """Whether a ListStringMatcher takes this name; of a regular expression that Python does not know it is believed."""
    for one in listed["patterns"].items:
        name = header.lower() if one["ignore_case"].flag() else header
        exact, prefix, suffix, contains = (one[kind].text for kind in ("exact", "prefix", "suffix", "contains"))
        if one["ignore_case"].flag():
            exact, prefix, suffix, contains = (text.lower() for text in (exact, prefix, suffix, contains))
        if name == exact or (prefix and name.startswith(prefix)) or (suffix and name.endswith(suffix)):
            return True
        if (contains and contains in name) or (one["safe_regex"].exists and _expression(one, name)):
            return True
    return False


def _expression(one: Spot, name: str) -> bool:
    import re2

    try:
        return re2.fullmatch(one["safe_regex"]["regex"].text, name) is not None
    except re2.error:
        return False


RULES = (
    hops,
    xff,
    headers,
    body,
    paths,
    xfcc,
    xfcc_elements,
    certificate,
    metadata,
    address,
    held,
    hold,
)
