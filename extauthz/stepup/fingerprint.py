"""When two Checks are the same Check sent again, as Envoy does for a retry (design section 4)."""

from hashlib import sha256
from typing import Final

from extauthz.values.request import RequestView

REPEAT_SECONDS: Final = 30.0
"""How long a grant that was used up still serves the same Check."""


def fingerprint(request: RequestView) -> str:
    """What a repeated Check has in common with the first and no other Check has; empty if that can't be said.

    Envoy stamps each request with its own id and a time in nanoseconds; method, authority and target are there
    because an operator may let clients choose the id.
    """
    http = request.http
    if http is None or not http.id or request.time == (0, 0):
        return ""
    parts = (
        request.source.ip,
        str(request.source.port),
        "{}.{}".format(*request.time),
        http.id,
        http.method,
        http.authority,
        http.raw_path,
        http.raw_query,
    )
    framed = "".join(f"{len(part)}:{part}" for part in parts)
    return sha256(framed.encode("utf-8", "surrogatepass")).hexdigest()
