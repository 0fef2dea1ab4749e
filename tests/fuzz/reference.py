"""A second, naive reading of a Check, to be held against the first one.

It shares no code with `extauthz.wire` and `extauthz.identity`: Envoy's whole message, `urllib`, `json`, PyJWT. Where
two readers in the wild would differ there are several readings (`READERS`), and an allow must hold by each of them. It
judges by `oracle`, which shares the views of a condition with the product; what bodies say is read here once more.
"""

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP as HTTP_POLICY
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import jwt
from fuzz.target import (
    AUDIENCE,
    COOKIE,
    DOCUMENTS,
    DOMAIN,
    ISSUER,
    ISSUER_KEYS,
    KEY,
    NAMESPACE,
    NOW,
)
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct, Value
from oracle import Verdict, judge

from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.policy.context import Inputs
from extauthz.values.grants import NO_FACTS
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.request import HttpRequest, Peer, RequestView

LEEWAY = 30.0
Lines = list[tuple[str, str]]
Item = TypeVar("Item")
_SPIFFE = re.compile(r"spiffe://([a-z0-9._-]+)((?:/[A-Za-z0-9._-]+)+)")
_CREDENTIAL = re.compile(r"(?:^|,)[ \t]*(bearer|dpop)(?![!#-+\-.0-9^-z|~])[ \t]*([^,]*)", re.IGNORECASE)
_PUBLIC = {kid: key.public_key() for kid, key in ISSUER_KEYS.keys.items()}


class UnreadableError(Exception):
    """A naive reader would not let this through."""


def _first(items: Iterable[Item]) -> Item:
    return next(iter(items))


def _last(items: Iterable[Item]) -> Item:
    return list(items)[-1]


def _split_then_decode(raw: str) -> list[str]:
    return [unquote(segment, errors="surrogateescape") for segment in raw.split("/")[1:]]


def _decode_then_split(raw: str) -> list[str]:
    return unquote(raw, errors="surrogateescape").split("/")[1:]


def _normalised(raw: str) -> list[str]:
    """As a server that cuts parameters, takes backslashes for slashes, ends at NUL and resolves dots."""
    decoded = unquote(raw, errors="surrogateescape").replace("\\", "/").partition("\0")[0]
    plain = "/".join(segment.partition(";")[0] for segment in decoded.split("/"))
    return re.sub("/+", "/", posixpath.normpath(plain)).split("/")[1:]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How one reader of the wild takes what could be taken in several ways."""

    name: str
    pick: Callable[[list[str]], str]
    segments: Callable[[str], list[str]]


READERS = (
    Reader(name="first", pick=_first, segments=_split_then_decode),
    Reader(name="last", pick=_last, segments=_decode_then_split),
    Reader(name="normal", pick=_last, segments=_normalised),
)


def verdict_of(payload: bytes, reader: Reader, binding_key: bytes) -> Verdict:
    """What the rules say of these bytes. Raises `UnreadableError`."""
    try:
        attributes = CheckRequest.FromString(payload).attributes
    except DecodeError as error:
        raise UnreadableError from error
    request = attributes.request
    metadata = {name: _plain(content) for name, content in attributes.metadata_context.filter_metadata.items()}
    http = _http(request.http, reader) if request.HasField("http") else None
    view = RequestView(
        source=_peer(attributes.source),
        destination=_peer(attributes.destination),
        http=http,
        time=(request.time.seconds, request.time.nanos),
        sni=attributes.tls_session.sni,
        context=dict(attributes.context_extensions),
        metadata=metadata,
    )
    identity = Identity(workload=_workload(attributes.source.principal, http), user=_user(http, metadata, reader))
    return judge(DOCUMENTS, Inputs(request=view, identity=identity, facts=NO_FACTS, now=NOW), binding_key)


def _plain(struct: Struct) -> dict[str, Any]:
    return {name: _value(value) for name, value in struct.fields.items()}


def _value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _peer(peer: AttributeContext.Peer) -> Peer:
    address = peer.address.socket_address
    return Peer(ip=address.address, port=address.port_value, principal=peer.principal, certificate=peer.certificate)


def _http(http: AttributeContext.HttpRequest, reader: Reader) -> HttpRequest:
    forms: list[Lines] = [
        lines
        for lines in (
            list(http.headers.items()),
            [(line.key, line.raw_value.decode(errors="replace") or line.value) for line in http.header_map.headers],
        )
        if lines
    ]
    lines = reader_form(forms, reader)
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in lines:
        if not name.startswith(":"):
            headers[name.lower()] = (*headers.get(name.lower(), ()), value)
    raw_path, mark, raw_query = http.path.partition("?")
    segments = reader.segments(raw_path) if raw_path.startswith("/") else []
    if segments and segments[-1] == "":
        segments.pop()
    bodies = [body for body in (http.body.encode(), http.raw_body) if body]
    body = reader.pick([body.decode("latin-1") for body in bodies] or [""]).encode("latin-1")
    hosts = [http.host, *headers.get("host", ())]
    return HttpRequest(
        id=http.id,
        method=http.method,
        scheme=http.scheme,
        host=re.sub(r"\.?(:[0-9]*)?$", "", reader.pick(hosts).lower()),
        authority=http.host,
        path="/" + "/".join(segments),
        segments=tuple(segments),
        raw_path=raw_path,
        raw_query=raw_query,
        protocol=http.protocol,
        headers=headers,
        size=http.size,
        body=body if headers.get("x-envoy-auth-partial-body") == ("false",) else None,
        has_query=bool(mark),
    )


def reader_form(forms: list[Lines], reader: Reader) -> Lines:
    """The one of the two forms of headers that this reader would look at."""
    if not forms:
        return []
    return forms[0] if reader.name == "first" else forms[-1]


def _workload(principal: str, http: HttpRequest | None) -> Workload | None:
    """The principal's, with which the last element of X-Forwarded-Client-Cert must agree."""
    lines = http.headers.get("x-forwarded-client-cert", ()) if http is not None else ()
    for line in lines:
        named = [value for name, value in forwarded(line)[-1] if name == "uri"]
        if principal and named and named != [principal]:
            raise UnreadableError
    found = _SPIFFE.fullmatch(principal)
    if found is None or found[1] != DOMAIN:
        return None
    return Workload(id=principal, trust_domain=found[1], path=found[2], verified_by="source_principal")


def forwarded(text: str) -> list[Lines]:
    """The elements of X-Forwarded-Client-Cert, character by character."""
    elements: list[Lines] = [[]]
    pair, quoted, escaped = "", False, False
    for character in text + ",":
        if escaped:
            pair, escaped = pair + character, False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character in ";," and not quoted:
            name, _, value = pair.strip(" \t").partition("=")
            elements[-1].append((name.lower(), value))
            pair = ""
            if character == ",":
                elements.append([])
        else:
            pair += character
    return elements[:-1] or elements


def _user(http: HttpRequest | None, metadata: Mapping[str, Any], reader: Reader) -> User | None:
    if http is None:
        return None
    claims = []
    if (sent := _authorization(http, reader)) is not None:
        claims.append(_claims(*sent, http))
    cookies = [
        value.strip(" \t")
        for line in http.headers.get("cookie", ())
        for name, _, value in (pair.partition("=") for pair in line.split(";"))
        if name.strip(" \t") == COOKIE
    ]
    if cookies:
        claims.append(_claims("bearer", reader.pick(cookies), http))
    noted = metadata.get(NAMESPACE, {})
    if KEY in noted:
        if not isinstance(noted[KEY], dict):
            raise UnreadableError
        claims.append(_timely(noted[KEY]))
    if not claims:
        return None
    if len({one.get("sub") for one in claims}) > 1:
        raise UnreadableError
    first = claims[0]
    if not isinstance(first.get("sub"), str):
        raise UnreadableError
    groups = first.get("groups", [])
    return User(sub=first["sub"], iss=first["iss"], groups=tuple(groups), claims=first, verified_by="naive")


def _authorization(http: HttpRequest, reader: Reader) -> tuple[str, str] | None:
    found = [
        (scheme.lower(), token)
        for line in http.headers.get("authorization", ())
        for scheme, token in _CREDENTIAL.findall(line)
    ]
    return found[0 if reader.name == "first" else -1] if found else None


def _claims(scheme: str, token: str, http: HttpRequest) -> dict[str, Any]:
    """The claims of a token by PyJWT, which looks at the signature and the audience; the time is looked at here."""
    claims: dict[str, Any]
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(
            token,
            _PUBLIC[header.get("kid", "")],
            algorithms=["ES256"],
            audience=AUDIENCE,
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp", "sub", "iss"]},
        )
    except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError from error
    bound = claims.get("cnf", {}).get("jkt")
    if scheme == "dpop" or bound:
        if scheme != "dpop" or _prover(token, http) != bound:
            raise UnreadableError
    elif "cnf" in claims:
        raise UnreadableError
    return _timely(claims)


def _place(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of an address, in one spelling (RFC 3986 section 6.2)."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return parts.scheme, (parts.hostname or "").removesuffix("."), port, parts.path or "/"


def _prover(token: str, http: HttpRequest) -> str:
    """The thumbprint of the key that has signed the proof beside the token (RFC 9449 section 4.3)."""
    try:
        (proof,) = http.headers["dpop"]
        header = jwt.get_unverified_header(proof)
        key = header["jwk"]
        # PyJWT would hold times against the clock of the machine, which is not that of these requests.
        said = jwt.decode(
            proof,
            jwt.PyJWK(key, "ES256"),
            algorithms=["ES256"],
            options={"verify_iat": False, "verify_exp": False, "verify_nbf": False},
        )
        digest = jwt.utils.base64url_encode(sha256(token.encode()).digest()).decode()
        here = _place(f"{http.scheme}://{http.authority}{http.raw_path}")
        fits = (header["typ"].lower(), said["htm"], _place(said["htu"]), said["ath"]) == (
            "dpop+jwt",
            http.method,
            here,
            digest,
        )
        if not fits or not NOW - 90 <= said["iat"] <= NOW + LEEWAY or said.get("exp", NOW + 1) <= NOW:
            raise UnreadableError
        members = json.dumps({name: key[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableError from error
    return jwt.utils.base64url_encode(sha256(members.encode()).digest()).decode()


def _timely(claims: dict[str, Any]) -> dict[str, Any]:
    if claims.get("iss") != ISSUER or not isinstance(claims.get("exp"), int | float) or claims["exp"] <= NOW:
        raise UnreadableError
    if any(claims.get(name, 0) > NOW + LEEWAY for name in ("nbf", "iat", "auth_time")):
        raise UnreadableError
    return claims


# What an allow by one of these rules says of the request, by readers of their own.


def amounts(rule: str, payload: bytes) -> list[int]:
    """The amounts that readers in the wild find where the rule has looked for one."""
    http = CheckRequest.FromString(payload).attributes.request.http
    body = http.raw_body or http.body.encode()
    match rule:
        case "app/query":
            return _pairs(http.path.partition("?")[2])
        case "app/form":
            return _pairs(body.decode())
        case "app/json":
            return [json.loads(body, object_pairs_hook=hook)["amount"] for hook in (_first_wins, dict, _any_case)]
        case "app/parts":
            return _parts(http, body)
        case "app/listed":
            value = json.loads(body)
            return [max(map(int, value), default=0)]
        case _:
            return []


def _pairs(text: str) -> list[int]:
    found = [
        value
        for separator in "&;"
        for name, value in parse_qsl(text, separator=separator, keep_blank_values=True)
        if name == "amount"
    ]
    return [int(value.partition("&")[0]) for value in found]


def _first_wins(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(members))


def _any_case(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name.lower(): value for name, value in members}


def _parts(http: AttributeContext.HttpRequest, body: bytes) -> list[int]:
    (kind,) = [value for name, value in http.headers.items() if name.lower() == "content-type"] or [
        (line.raw_value or line.value.encode()).decode()
        for line in http.header_map.headers
        if line.key.lower() == "content-type"
    ]
    message = BytesParser(policy=HTTP_POLICY).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    return [
        int(str(part.get_payload()).strip())
        for part in message.iter_parts()
        if part.get_param("name", header="content-disposition") == "amount"
    ]
