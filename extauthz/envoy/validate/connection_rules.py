"""Rules for what a connection manager makes of a request before anybody is asked: who calls, from where, for what."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import HTTP, Http
from extauthz.envoy.validate.sockets import verifies
from extauthz.envoy.validate.spots import Spot

FORWARDING = ("SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY")
ESCAPED_SLASHES = (
    "IMPLEMENTATION_SPECIFIC_DEFAULT",
    "KEEP_UNCHANGED",
    "REJECT_REQUEST",
    "UNESCAPE_AND_REDIRECT",
    "UNESCAPE_AND_FORWARD",
)
_FORWARDED = frozenset({"FORWARD_ONLY", "ALWAYS_FORWARD_ONLY"})
"""Under which the header is the client's."""
_TELLS_ALL = "HttpGrpcAccessLogConfig"
"""The access log that sends all metadata, whatever its format."""
_WRITTEN = frozenset({"APPEND_FORWARD", "SANITIZE_SET"})
"""Under which Envoy itself writes X-Forwarded-Client-Cert."""


@rule(
    "xfcc-forwarded",
    "error",
    "X-Forwarded-Client-Cert reaches extauthz and the service as the client wrote it: anybody is any workload",
    "write `forward_client_cert_details: SANITIZE_SET` and `set_current_client_cert_details: {uri: true}`",
)
def xfcc_forwarded(http: Http) -> Iterator[Hit]:
    for spot in (http.spot["forward_client_cert_details"], *_by_request(http)):
        if spot.one_of(FORWARDING) in _FORWARDED:
            yield spot, f"`{spot.one_of(FORWARDING)}`"


@rule(
    "xfcc-appended",
    "warning",
    "of X-Forwarded-Client-Cert the last element alone is Envoy's, all before it are the client's own words; a service"
    " that reads the first one takes anybody for any workload",
    "write `SANITIZE_SET`, unless a proxy that you trust stands in front",
)
def xfcc_appended(http: Http) -> Iterator[Hit]:
    if http.spot["forward_client_cert_details"].one_of(FORWARDING) == "APPEND_FORWARD":
        yield http.spot["forward_client_cert_details"], ""


@rule(
    "xfcc-by-request",
    "warning",
    "a matcher chooses by the request how X-Forwarded-Client-Cert is treated, and the client writes the request",
    "remove `forward_client_cert_matcher`",
)
def xfcc_by_request(http: Http) -> Iterator[Hit]:
    if _by_request(http) and not any(spot.one_of(FORWARDING) in _FORWARDED for spot in _by_request(http)):
        yield http.spot["forward_client_cert_matcher"], ""


@rule(
    "xfcc-without-uri",
    "warning",
    "the header that Envoy writes does not tell the SPIFFE ID of the workload",
    "write `set_current_client_cert_details: {uri: true}`",
)
def xfcc_without_uri(http: Http) -> Iterator[Hit]:
    said = http.spot["forward_client_cert_details"].one_of(FORWARDING)
    if said in _WRITTEN and not http.spot["set_current_client_cert_details"]["uri"].flag():
        yield http.spot["set_current_client_cert_details"], ""


@rule(
    "client-certificate-never-asked",
    "warning",
    "Envoy is to tell of a client's certificate, and never asks for one: no workload is known",
    "write `validation_context: {trusted_ca: …}`, and `require_client_certificate: true` where all have one",
)
def client_certificate_never_asked(http: Http) -> Iterator[Hit]:
    said = http.spot["forward_client_cert_details"].one_of(FORWARDING)
    encrypted = http.tls["common_tls_context"].exists
    if said in _WRITTEN and encrypted and not _asks(http):
        yield http.tls["common_tls_context"], ""


@rule(
    "path-unnormalized",
    "warning",
    "`/open/../secret` is routed as it is written; extauthz refuses it with 400, and nothing else does",
    "write `normalize_path: true`",
)
def path_unnormalized(http: Http) -> Iterator[Hit]:
    if not http.spot["normalize_path"].flag():
        yield http.spot["normalize_path"], ""


@rule(
    "escaped-slashes-unsaid",
    "warning",
    "a runtime key decides what becomes of `%2F` in a path",
    "write `path_with_escaped_slashes_action: KEEP_UNCHANGED`: extauthz refuses such paths, on record",
)
def escaped_slashes_unsaid(http: Http) -> Iterator[Hit]:
    if http.spot["path_with_escaped_slashes_action"].one_of(ESCAPED_SLASHES) == ESCAPED_SLASHES[0]:
        yield http.spot["path_with_escaped_slashes_action"], ""


@rule(
    "header-underscores",
    "warning",
    "a client's `x_authz_subject` passes beside the `x-authz-subject` of extauthz, and CGI-like services fold both to"
    " one name",
    "write `common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}`",
)
def header_underscores(http: Http) -> Iterator[Hit]:
    spot = http.spot["common_http_protocol_options"]["headers_with_underscores_action"]
    if spot.one_of(("ALLOW", "REJECT_REQUEST", "DROP_HEADER")) == "ALLOW":
        yield spot, ""


@rule(
    "chunked-length",
    "error",
    "a request with both Content-Length and chunks is two requests to whoever reads it the other way: the second one is"
    " asked about by nobody",
    "remove `allow_chunked_length`",
)
def chunked_length(http: Http) -> Iterator[Hit]:
    if (spot := http.spot["http_protocol_options"]["allow_chunked_length"]).flag():
        yield spot, ""


@rule(
    "trailers-passed",
    "warning",
    "trailers come when the decision has been made, and a client may call one `x-authz-subject`: a service that takes"
    " trailers for headers believes it",
    "remove `enable_trailers`",
)
def trailers_passed(http: Http) -> Iterator[Hit]:
    upstream = (cluster["typed_extension_protocol_options"][HTTP]["explicit_http_config"] for cluster in http.reached)
    for holder in (http.spot, *upstream):
        if (spot := holder["http_protocol_options"]["enable_trailers"]).flag():
            yield spot, ""


@rule(
    "remote-address-unsaid",
    "warning",
    "nobody has said whether clients connect to this Envoy itself: as it is, their `x-envoy-*` headers are believed,"
    " and their address is what they write into X-Forwarded-For",
    "write `use_remote_address: true` at the edge, `false` behind a proxy (`client: {xff: untouched}` for extauthz)",
)
def remote_address_unsaid(http: Http) -> Iterator[Hit]:
    if not http.spot["use_remote_address"].exists:
        yield http.spot["use_remote_address"], ""


@rule(
    "callers-internal",
    "error",
    "whoever calls from there is taken for one of your own: `x-envoy-*` headers are believed, by which a caller has"
    " Envoy repeat its request after an approval was used up, or cut it short",
    "name the addresses of your own networks alone, or remove `internal_address_config`",
)
def callers_internal(http: Http) -> Iterator[Hit]:
    for one in http.spot["internal_address_config"]["cidr_ranges"].items:
        if not _is_private(one):
            yield one, f"`{one['address_prefix'].text}/{one['prefix_len'].number():g}`"


def _is_private(network: Spot) -> bool:
    """Whether a range has addresses alone that nobody has on the internet."""
    length = network["prefix_len"].number()  # 0 where nobody says it
    try:
        named = ipaddress.ip_network(f"{network['address_prefix'].text}/{length:g}", strict=False)
    except ValueError:
        return True  # Envoy does not start with it
    return named.is_private or (named.version == 4 and named.subnet_of(_SHARED))


_SHARED = ipaddress.IPv4Network("100.64.0.0/10")  # RFC 6598


@rule(
    "xff-not-appended",
    "warning",
    "Envoy does not add its peer to X-Forwarded-For, so that hops are counted one too far: the client's own words",
    "remove `skip_xff_append`, or write `client: {xff: untouched}` for extauthz and give it as `--config`",
)
def xff_not_appended(http: Http) -> Iterator[Hit]:
    if http.spot["skip_xff_append"].flag():
        yield http.spot["skip_xff_append"], ""


@rule(
    "address-detected-otherwise",
    "warning",
    "an extension says who the client is; extauthz counts hops in X-Forwarded-For, and takes another address",
    "use `use_remote_address` and `xff_num_trusted_hops`",
)
def address_detected_otherwise(http: Http) -> Iterator[Hit]:
    if http.spot["original_ip_detection_extensions"].exists:
        yield http.spot["original_ip_detection_extensions"], ""


@rule(
    "access-log-silent",
    "warning",
    "no access log tells what was decided, so that an incident can't be followed from Envoy's side",
    "add `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:extauthz:decision)%` and `…:decision_id)%` to it",
)
def access_log_silent(http: Http) -> Iterator[Hit]:
    logs = http.spot["access_log"]
    if not any("extauthz:decision" in spot.text or _TELLS_ALL in spot.text for spot in logs.inner()):
        yield logs, ""


@rule(
    "credentials-logged",
    "warning",
    "whoever reads the access log, or spans, can call in the name of those who are in it",
    "log the decision (`…:extauthz:decision_id)%`), and no header with credentials",
)
def credentials_logged(http: Http) -> Iterator[Hit]:
    for spot in http.spot["access_log"].inner():
        if found := _LOGGED.search(spot.text):
            yield spot, f"`{found[0]}`"
    for tag in http.spot["tracing"]["custom_tags"].items:
        name = tag["request_header"]["name"]
        if re.fullmatch(_CREDENTIALS, name.text, re.IGNORECASE):
            yield name, f"`{name.text}`"


_CREDENTIALS: Final = "authorization|cookie|set-cookie|proxy-authorization|x-api-key"
"""Headers that are as good as the one who has sent them."""
_LOGGED: Final = re.compile(rf"%[A-Z_]+\((?:[^)?]*\?)?(?:{_CREDENTIALS})[?)][^%]*%", re.IGNORECASE)


def _by_request(http: Http) -> list[Spot]:
    """How the header is treated for requests that a matcher finds."""
    found = (spot["forward_client_cert_details"] for spot in http.spot["forward_client_cert_matcher"].inner())
    return [spot for spot in found if spot.exists]


def _asks(http: Http) -> bool:
    """Whether a client is asked for a certificate at all."""
    return http.tls["require_client_certificate"].flag() or verifies(http.tls, http.secrets)


RULES = (
    xfcc_forwarded,
    xfcc_appended,
    xfcc_by_request,
    xfcc_without_uri,
    client_certificate_never_asked,
    path_unnormalized,
    escaped_slashes_unsaid,
    header_underscores,
    chunked_length,
    trailers_passed,
    remote_address_unsaid,
    callers_internal,
    xff_not_appended,
    address_detected_otherwise,
    access_log_silent,
    credentials_logged,
)
