"""What a grant is good for, as one text: equal texts mean "the same thing", nothing else does.

The rule: two different things never get the same text. So every value carries its type and its length, and what comes
from the request goes through a keyed hash, which also keeps it out of the store.
"""

import hmac
import json
import math
import struct
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final, Literal, assert_never

from extauthz.cel.values import Duration, Timestamp, UInt
from extauthz.errors import Refused
from extauthz.values.identity import Identity
from extauthz.values.request import HttpRequest, RequestView

Kind = Literal["session", "action", "scope", "request"]

METHOD_OVERRIDES: Final = ("x-http-method", "x-http-method-override", "x-method-override")
"""Headers by which frameworks take another method than the request line's; lower case."""

_SESSION: Final = "session"
_MAX_DEPTH: Final = 32


class NotBindable(Refused):
    """A proof can't be tied to this request or to these values; whoever asked for it must deny."""

    reason = "not-bindable"


def bind(
    kind: Kind,
    *,
    rule: str,
    scope: Sequence[object] = (),
    headers: Sequence[str] = (),
    request: RequestView,
    identity: Identity,
    key: bytes,
) -> str:
    """The binding text of a proof for `rule` (`policy/rule`), as design section 4 defines `bind`.

    `scope` are the CEL values of `bind: {scope: […]}`, `headers` the lower-case names that the rule chose for
    `bind: request`, `key` one of `KeyRing.binding_keys`. Subject, session and holder are no part of the text: the
    grant names them itself.

    Raises:
        NotBindable: `scope` has a value that is no plain CEL value or is NaN, the request is not HTTP, or its body is
            not known.
    """
    match kind:
        case "session":
            return _SESSION
        case "action":
            return f"action:{rule}"
        case "scope":
            parts = [b"scope", rule.encode(), *(_canonical(value, 0) for value in scope)]
            return f"scope:{_keyed(key, parts)}:{rule}"
        case "request":
            if request.http is None:
                raise NotBindable("request: only HTTP requests can be bound")
            parts = [b"request", rule.encode(), *_request_parts(request.http, identity, headers)]
            return f"request:{_keyed(key, parts)}:{rule}"
        case _:
            assert_never(kind)


def glass_binding(rule: str) -> str:
    """The binding text of the proof for breaking the glass of `rule` (`policy/rule`), good for nothing else."""
    return f"break-glass:{rule}"


def _request_parts(http: HttpRequest, identity: Identity, chosen: Sequence[str]) -> Iterable[bytes]:
    """The parts of "this very request", in a fixed order; lists and what may be absent are framed on their own."""
    if http.body is None:
        raise NotBindable("request: its body is not known, so no proof can be bound to it; let Envoy buffer it")
    user, workload = identity.user, identity.workload
    yield _bytes(http.method)
    yield _bytes(http.scheme)
    yield _bytes(http.authority)
    yield _bytes(http.raw_path)
    yield _bytes(http.raw_query)
    yield b"?" if http.has_query else b""
    for name in ("content-type", "content-encoding", *METHOD_OVERRIDES, *sorted(set(chosen))):
        yield _framed([_bytes(name), *(_bytes(value) for value in http.headers.get(name, ()))])
    yield sha256(http.body).digest()
    yield _framed([_bytes(user.iss), _bytes(user.sub)] if user is not None else [])
    actor = user.actor if user is not None else None
    yield _framed([] if actor is None else [_bytes(json.dumps(actor, sort_keys=True, default=dict))])
    yield _framed([] if workload is None else [_bytes(workload.id)])


def _canonical(value: object, depth: int) -> bytes:
    """The one encoding of a CEL value: a letter for the type, then the content. `1`, `1u`, `1.0`, `"1"` differ."""
    if depth > _MAX_DEPTH:
        raise NotBindable("scope: a value is nested too deeply")
    match value:
        case None:
            return b"n"
        case bool():
            return b"t" if value else b"f"
        case int() | float():
            return _number(value)
        case str():
            return b"s" + _bytes(value)
        case bytes():
            return b"b" + value
        case Timestamp():
            return b"T%d" % value.ns
        case Duration():
            return b"D%d" % value.ns
        case Mapping():
            pairs = ((_canonical(name, depth + 1), _canonical(value[name], depth + 1)) for name in value)
            return b"m" + _framed(_framed(pair) for pair in sorted(pairs))
        case list() | tuple():
            return b"l" + _framed(_canonical(item, depth + 1) for item in value)
        case _:
            raise NotBindable(f"scope: a value of type `{type(value).__name__}` can't be bound; use plain values")


def _number(value: float) -> bytes:
    if isinstance(value, int):
        return (b"u%d" if isinstance(value, UInt) else b"i%d") % int(value)
    if math.isnan(value):
        raise NotBindable("scope: NaN equals nothing, so no proof can be bound to it")
    return b"d" + struct.pack(">d", value + 0.0)  # -0.0 + 0.0 is 0.0: CEL holds them equal


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _framed(parts: Iterable[bytes]) -> bytes:
    """Parts one after the other, each after its length in 8 bytes: no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _keyed(key: bytes, parts: Iterable[bytes]) -> str:
    return urlsafe_b64encode(hmac.digest(key, _framed(parts), "sha256")).rstrip(b"=").decode("ascii")
