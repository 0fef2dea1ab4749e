"""What can be seen of a request that can't be read, for people who look for it afterwards.

The rule kept here: nothing decides by it. The target ends where a value may begin that is masked elsewhere, and so
does what stands before a host.
"""

import re
from typing import Final

from google.protobuf.message import DecodeError

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.values.request import Glimpse
from extauthz.wire.size import is_too_large

LONGEST: Final = 512
"""Characters of what is told of each."""
_BEHIND_THE_PATH: Final = re.compile(r"[?;#]")


def glimpse(payload: bytes) -> Glimpse | None:
    """What a Check says that `decode` has refused, as it was sent; `None` of one that is no Check, or too large."""
    if is_too_large(payload):
        return None
    try:
        attributes = CheckRequest.FromString(payload).attributes
    except DecodeError:
        return None
    http = attributes.request.http
    path = _BEHIND_THE_PATH.split(http.path, maxsplit=1)[0] if http.path.startswith("/") else ""
    host = http.host.rpartition("@")[2]
    sent = http.id, http.method, host, path, attributes.source.address.socket_address.address
    if not any(sent):
        return None
    id_, method, host, path, source_ip = (text[:LONGEST] for text in sent)
    return Glimpse(id=id_, method=method, host=host, path=path, source_ip=source_ip)
