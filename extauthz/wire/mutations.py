"""What an allow changes in the request, in Envoy's words.

The rule: a name that any policy can set is set or removed in every answer, in each spelling that an upstream could
take for it, and never both: Envoy removes last. Nothing is said by `raw_value`, which Envoy does not read, and nothing
without an action where Envoy would append.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_plus

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValueOption
from extauthz.values.decisions import NO_MUTATIONS, Mutations
from extauthz.values.headers import Headers, OneLineEach
from extauthz.values.request import EMPTY, HttpRequest
from extauthz.wire.fragments import Holed, field, text, together, within
from extauthz.wire.headers import OURS, is_foldable
from extauthz.wire.sayable import DECISION_ID, is_value

OVERWRITE: Final = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
BESIDE: Final = HeaderValueOption.APPEND_IF_EXISTS_OR_ADD

OK_RESPONSE: Final = 3
# The fields of OkHttpResponse.
_HEADERS: Final = 2
_HEADERS_TO_REMOVE: Final = 5
_RESPONSE_HEADERS: Final = 6
_QUERY_TO_SET: Final = 7
_QUERY_TO_REMOVE: Final = 8
# What a name and a value may be long to be kept as they are written.
_LONGEST_KEPT: Final = 256


def is_plain(http: HttpRequest | None) -> bool:
    """Whether nothing of the request takes a look at it: no header that could be taken for one that is set or removed.

    It does not hold where a name that is set or removed has a `_`: any client could spell that otherwise.
    """
    return http is None or not _foldable(http.headers)


def only_sets_headers(mutations: Mutations) -> bool:
    """Whether nothing is changed but headers of the request that are set."""
    return mutations is NO_MUTATIONS or not (
        mutations.append_headers
        or mutations.remove_headers
        or mutations.response_headers
        or mutations.append_response_headers
        or mutations.query
        or mutations.remove_query
        or mutations.metadata
    )


def headers_set(headers: Mapping[str, str]) -> bytes | None:
    """The headers of the request that are set, as the beginning of an `ok_response`; `None` if a value can't be said.
    The names can."""
    written = b""
    for name, value in headers.items():
        option = (_kept_option if len(name) + len(value) <= _LONGEST_KEPT else _sayable_option)(name, value)
        if option is None:
            return None
        written += option
    return written


def behind_headers_set(names: Iterable[str], *, settable: frozenset[str], size: int) -> Holed:
    """What comes behind the headers with these names in an `ok_response` that is usual: `only_sets_headers`,
    for a request that `is_plain`.

    `settable` are all names that the loaded policies can set, in lower case, `size` is that of the decision's id.
    """
    removed = _removed(settable.difference(map(str.lower, names)))
    return together(_id_option(_HEADERS, size), removed, _id_option(_RESPONSE_HEADERS, size))


def ok_response(mutations: Mutations, http: HttpRequest | None, decision_id: bytes, settable: frozenset[str]) -> bytes:
    """The `ok_response` of an allow that changes whatever there is to change, as that field of the answer.

    `settable` are all names that the loaded policies can set, in lower case.
    """
    own = {name.lower(): value for name, value in mutations.headers.items()}
    removed = settable
    if mutations.remove_headers:
        removed = settable.union(name.lower() for name in mutations.remove_headers)
    sent = http.headers if http is not None else EMPTY
    appended = {
        # What some policy can set never passes from the client, wherever it is appended to.
        name.lower(): _joined(name.lower(), () if name.lower() in removed else sent.get(name.lower(), ()), values)
        for name, values in mutations.append_headers.items()
    }
    given = {*own, DECISION_ID, *appended}
    removed = removed.union(_respelled(sent, removed.union(given))).difference(given)
    responses = {name.lower(): value for name, value in mutations.response_headers.items()}
    lines = [(name.lower(), value) for name, values in mutations.append_response_headers.items() for value in values]
    size = len(decision_id)
    pieces = together(
        _options(_HEADERS, own.items()),
        _id_option(_HEADERS, size),
        _options(_HEADERS, appended.items()),
        _removed(removed),
        _options(_RESPONSE_HEADERS, responses.items()),
        _options(_RESPONSE_HEADERS, lines, BESIDE),
        _id_option(_RESPONSE_HEADERS, size),
        _query(mutations, http.raw_query if http is not None else ""),
    )
    return decision_id.join(within(OK_RESPONSE, pieces, size))


def _sayable_option(name: str, value: str) -> bytes | None:
    """A header of the request that takes the place of whatever is there."""
    return _option(_HEADERS, name, value) if is_value(value) else None


# Callers come again, and so does what is said of them.
_kept_option = lru_cache(maxsize=4096)(_sayable_option)


def _option(number: int, name: str, value: str, action: int = OVERWRITE) -> bytes:
    header = text(1, name.lower()) + (text(2, value) if value else b"")
    return field(number, field(1, header) + _action(action))


def _options(number: int, headers: Iterable[tuple[str, str]], action: int = OVERWRITE) -> Holed:
    return (b"".join([_option(number, name, value, action) for name, value in headers]),)


def _id_option(number: int, size: int) -> Holed:
    """The header with the decision's id."""
    header = together((text(1, DECISION_ID),), within(2, (b"", b""), size))
    return within(number, together(within(1, header, size), (_action(OVERWRITE),)), size)


def _action(action: int) -> bytes:
    # The field `append_action` of HeaderValueOption, a number; its default is not written.
    return bytes((3 << 3, action)) if action else b""


def _removed(names: Iterable[str]) -> Holed:
    return (b"".join([text(_HEADERS_TO_REMOVE, name) for name in sorted(names)]),)


def _joined(name: str, sent: Iterable[str], values: Iterable[str]) -> str:
    """The lines of the client and what comes behind them, as one (RFC 9110 section 5.3, RFC 6265 section 4.2.1).

    Envoys differ in what they make of an action that appends to a request: this one overwrites, with what was seen.
    """
    return ("; " if name == "cookie" else ", ").join([line for line in (*sent, *values) if line])


def _foldable(sent: Headers) -> Collection[str]:
    """The names that an upstream could take for one of those that are set or removed, all of which have no `_`."""
    return sent.foldable if type(sent) is OneLineEach else [name for name in sent if is_foldable(name)]


def _respelled(sent: Iterable[str], names: frozenset[str]) -> set[str]:
    """The headers of the request that a CGI-like upstream folds to one of `names` or to one of ours."""
    folded = {name.replace("_", "-") for name in names}
    return {name for name in sent if (fold := name.replace("_", "-")) in folded or fold.startswith(OURS)}


def _query(mutations: Mutations, raw_query: str) -> Holed:
    """Set and remove query parameters.

    Envoy splices names and values as they are given and compares names undecoded. So ours are escaped, and a
    parameter that the client has escaped in its own way is removed by that spelling.
    """
    if not mutations.query and not mutations.remove_query:
        return (b"",)
    values = {_escaped(name): _escaped(value) for name, value in mutations.query.items()}
    names = {*mutations.query, *mutations.remove_query}
    removed = {_escaped(name) for name in mutations.remove_query}
    removed.update(_spellings(raw_query, names))
    given = [
        field(_QUERY_TO_SET, (text(1, name) if name else b"") + (text(2, value) if value else b""))
        for name, value in values.items()
    ]
    return (b"".join((*given, *(text(_QUERY_TO_REMOVE, name) for name in sorted(removed.difference(values))))),)


def _spellings(raw_query: str, names: set[str]) -> Iterable[str]:
    for pair in raw_query.split("&"):
        spelling = pair.partition("=")[0]
        if unquote_plus(spelling) in names:
            yield spelling


def _escaped(text: str) -> str:
    # What Envoy leaves as it is too, where it validates what it is told to set.
    return quote(text, safe="*")
