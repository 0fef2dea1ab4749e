"""What an allow changes in the request, in Envoy's words.

The rule: a name that any policy can set is set or removed in every answer, in each spelling that an upstream could
take for it, and never both: Envoy removes last.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_plus

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValueOption, QueryParameter
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import OkHttpResponse
from extauthz.values.decisions import Mutations
from extauthz.values.request import EMPTY, HttpRequest
from extauthz.wire.sayable import DECISION_ID

if TYPE_CHECKING:
    # The stubs' name for a repeated field; at run time it is a class of upb's own.
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

_OURS: Final = "x-extauthz-"
OVERWRITE: Final = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
BESIDE: Final = HeaderValueOption.APPEND_IF_EXISTS_OR_ADD


def write_mutations(
    answer: OkHttpResponse,
    mutations: Mutations,
    *,
    http: HttpRequest | None,
    decision_id: str,
    settable: frozenset[str],
) -> None:
    """Fill the `ok_response` of an allow; `settable` are all names that the loaded policies can set, in lower case."""
    headers = {name.lower(): value for name, value in mutations.headers.items()}
    headers[DECISION_ID] = decision_id
    removed = settable
    if mutations.remove_headers:
        removed = settable.union(name.lower() for name in mutations.remove_headers)
    if mutations.append_headers:
        sent = http.headers if http is not None else EMPTY
        headers |= {
            # What some policy can set never passes from the client, wherever it is appended to.
            name.lower(): _joined(name.lower(), () if name.lower() in removed else sent.get(name.lower(), ()), values)
            for name, values in mutations.append_headers.items()
        }
    if http is not None:
        removed = removed.union(_respelled(http.headers, removed.union(headers)))
    for name, value in headers.items():
        write_header(answer.headers, name, value)
    answer.headers_to_remove.extend(sorted(removed.difference(headers)))
    for name, value in mutations.response_headers.items():
        write_header(answer.response_headers_to_add, name.lower(), value)
    for name, values in mutations.append_response_headers.items():
        for value in values:
            write_header(answer.response_headers_to_add, name.lower(), value, BESIDE)
    write_header(answer.response_headers_to_add, DECISION_ID, decision_id)
    if mutations.query or mutations.remove_query:
        _query(answer, mutations, http.raw_query if http is not None else "")


def write_header(
    options: "RepeatedCompositeFieldContainer[HeaderValueOption]", name: str, value: str, action: int = OVERWRITE
) -> None:
    """Add a header that by default takes the place of whatever is there.

    `value` it is, because Envoy does not read `raw_value`, and never no action: it would append.
    """
    option = options.add()
    option.append_action = action  # type: ignore[assignment]  # the stubs hide that an enumeration's values are ints
    header = option.header
    header.key = name
    header.value = value


def _joined(name: str, sent: Iterable[str], values: Iterable[str]) -> str:
    """The lines of the client and what comes behind them, as one (RFC 9110 section 5.3, RFC 6265 section 4.2.1).

    Envoys differ in what they make of an action that appends to a request: this one overwrites, with what was seen.
    """
    return ("; " if name == "cookie" else ", ").join([line for line in (*sent, *values) if line])


def _respelled(sent: Iterable[str], names: frozenset[str]) -> set[str]:
    """The headers of the request that a CGI-like upstream folds to one of `names` or to one of ours."""
    folded = {name.replace("_", "-") for name in names}
    return {name for name in sent if (fold := name.replace("_", "-")) in folded or fold.startswith(_OURS)}


def _query(answer: OkHttpResponse, mutations: Mutations, raw_query: str) -> None:
    """Set and remove query parameters.

    Envoy splices names and values as they are given and compares names undecoded. So ours are escaped, and a
    parameter that the client has escaped in its own way is removed by that spelling.
    """
    values = {_escaped(name): _escaped(value) for name, value in mutations.query.items()}
    names = {*mutations.query, *mutations.remove_query}
    removed = {_escaped(name) for name in mutations.remove_query}
    removed.update(_spellings(raw_query, names))
    answer.query_parameters_to_set.extend(QueryParameter(key=name, value=value) for name, value in values.items())
    answer.query_parameters_to_remove.extend(sorted(removed.difference(values)))


def _spellings(raw_query: str, names: set[str]) -> Iterable[str]:
    for pair in raw_query.split("&"):
        spelling = pair.partition("=")[0]
        if unquote_plus(spelling) in names:
            yield spelling


def _escaped(text: str) -> str:
    # What Envoy leaves as it is too, where it validates what it is told to set.
    return quote(text, safe="*")
