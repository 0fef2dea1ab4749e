"""The answer to an allow, built as messages: what the fragments of `wire` must come to, byte for byte.

Written from Envoy's API and the design's section 6, with a library that knows the encoding.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote_plus

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse, OkHttpResponse
from extauthz.values.decisions import Allow, Mutations
from extauthz.values.request import HttpRequest

ID = "x-extauthz-decision-id"


def allowed(
    allow: Allow, *, http: HttpRequest | None, decision_id: str, revision: str, settable: frozenset[str]
) -> bytes:
    """The bytes that Envoy gets."""
    answer = CheckResponse()
    answer.status.code = 0
    facts = answer.dynamic_metadata.fields["extauthz"].struct_value.fields
    told = {"decision": "allow", "decision_id": decision_id, "reason": allow.reason, "revision": revision}
    for name, value in {**told, "rule": allow.rule}.items():
        facts[name].string_value = value
    if allow.mutations.metadata:
        answer.dynamic_metadata.update(allow.mutations.metadata)
    _mutate(answer.ok_response, allow.mutations, http, decision_id, settable)
    return answer.SerializeToString(deterministic=True)


def _mutate(
    ok: OkHttpResponse, mutations: Mutations, http: HttpRequest | None, decision_id: str, settable: frozenset[str]
) -> None:
    sent = dict(http.headers) if http is not None else {}
    removed = {*settable, *(name.lower() for name in mutations.remove_headers)}
    headers = {**{name.lower(): value for name, value in mutations.headers.items()}, ID: decision_id}
    for name, values in mutations.append_headers.items():
        before = () if name.lower() in removed else sent.get(name.lower(), ())
        lines = [line for line in (*before, *values) if line]
        headers[name.lower()] = ("; " if name.lower() == "cookie" else ", ").join(lines)
    known = {name.replace("_", "-") for name in (*removed, *headers)}
    for name in sent:
        if name.replace("_", "-") in known or name.replace("_", "-").startswith("x-extauthz-"):
            removed.add(name)
    for name, value in headers.items():
        _set(ok.headers, name, value)
    ok.headers_to_remove.extend(sorted(removed - headers.keys()))
    for name, value in mutations.response_headers.items():
        _set(ok.response_headers_to_add, name.lower(), value)
    for name, values in mutations.append_response_headers.items():
        for value in values:
            _set(ok.response_headers_to_add, name.lower(), value, beside=True)
    _set(ok.response_headers_to_add, ID, decision_id)
    _change_query(ok, mutations, http.raw_query if http is not None else "")


def _set(options: Any, name: str, value: str, *, beside: bool = False) -> None:
    option = options.add()
    option.header.key = name
    option.header.value = value
    option.append_action = option.APPEND_IF_EXISTS_OR_ADD if beside else option.OVERWRITE_IF_EXISTS_OR_ADD


def _change_query(ok: OkHttpResponse, mutations: Mutations, raw_query: str) -> None:
    values = {_escaped(name): _escaped(value) for name, value in mutations.query.items()}
    names = {*mutations.query, *mutations.remove_query}
    removed = {_escaped(name) for name in mutations.remove_query} | set(_spellings(raw_query, names))
    for name, value in values.items():
        ok.query_parameters_to_set.add(key=name, value=value)
    ok.query_parameters_to_remove.extend(sorted(removed - values.keys()))


def _spellings(raw_query: str, names: set[str]) -> Iterable[str]:
    if names:
        sent = [pair.partition("=")[0] for pair in raw_query.split("&")]
        yield from (name for name in sent if unquote_plus(name) in names)


def _escaped(text: str) -> str:
    return quote(text, safe="*")
