"""SPIFFE IDs and the patterns that policies match them with.

The rule: an ID is compared as text, so only its one canonical spelling is an ID at all. Nothing is normalised,
decoded or lower-cased here; what is not canonical is no ID.
"""

import re
from sys import intern

from extauthz.values.identity import Workload

MAX_ID_BYTES = 2048
MAX_TRUST_DOMAIN_BYTES = 255

_TRUST_DOMAIN = r"[a-z0-9._-]+"
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+"
_ID = re.compile(rf"spiffe://({_TRUST_DOMAIN})((?:/{_SEGMENT})+)")
# `/ns/<namespace>/sa/<account>`
_ISTIO_SEGMENTS = 5
_TRUST_DOMAIN_ONLY = re.compile(_TRUST_DOMAIN)
_LITERAL = re.compile(_SEGMENT)


def parse(text: str, *, verified_by: str) -> Workload | None:
    """The workload that `text` names, or `None` if it is no SPIFFE ID of a workload.

    SPIFFE-ID section 2: scheme `spiffe`, a trust domain of `a-z0-9.-_` (at most 255 bytes) without user or port, a
    path of segments of `A-Za-z0-9.-_` that are not empty, `.` or `..`, no query, no fragment, at most 2,048 bytes.
    X509-SVID section 3.1: a leaf's ID has a path. `verified_by` names the source in the result.
    """
    if len(text) > MAX_ID_BYTES:
        return None
    match = _ID.fullmatch(text)
    if match is None:
        return None
    trust_domain, path = match.groups()
    if len(trust_domain) > MAX_TRUST_DOMAIN_BYTES:
        return None
    namespace = account = None
    segments = path.split("/")  # the first is empty
    if len(segments) == _ISTIO_SEGMENTS and segments[1] == "ns" and segments[3] == "sa":
        namespace, account = intern(segments[2]), segments[4]
    return Workload(
        id=text,
        trust_domain=intern(trust_domain),  # one text for all who have it: thousands are remembered
        path=path,
        namespace=namespace,
        service_account=account,
        verified_by=verified_by,
    )


def is_trust_domain(text: str) -> bool:
    """Whether `text` is a trust domain's name (SPIFFE-ID section 2.1)."""
    return len(text) <= MAX_TRUST_DOMAIN_BYTES and _TRUST_DOMAIN_ONLY.fullmatch(text) is not None


def pattern_parts(text: str) -> tuple[str, ...]:
    """The trust domain and the segments of a pattern of workload IDs.

    The trust domain is literal; in the path `*` is one segment and a final `**` is zero or more. Raises `ValueError`
    with what to mend (no place: the caller knows it).
    """
    scheme, separator, rest = text.partition("://")
    trust_domain, *segments = rest.split("/")
    if scheme != "spiffe" or not separator:
        raise ValueError(f"`{text}` is no pattern of SPIFFE IDs; it must begin with `spiffe://`")
    if not is_trust_domain(trust_domain):
        raise ValueError(f"`{trust_domain}` is no trust domain; write it out in lower case, without `*` and port")
    if not segments:
        raise ValueError(f"`{text}` has no path; end it with `/**` for every workload of the trust domain")
    for number, segment in enumerate(segments, 1):
        if segment == "**" and number < len(segments):
            raise ValueError("`**` must be the last segment")
        if segment not in ("*", "**") and _LITERAL.fullmatch(segment) is None:
            raise ValueError(f"`{segment}` is no segment of a SPIFFE ID; `*` stands for a whole segment only")
    return trust_domain, *segments
