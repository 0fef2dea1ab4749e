"""What can be said in an answer: a decision that can't becomes an explicit refusal.

The rule: no header name, header value, status or metadata of ours makes Envoy fail, answer something else, or let
a header pass that we meant to set. What can't be said is a denial (`response-invalid`, 503), never an exception.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, assert_never

from extauthz.values.decisions import (
    NO_MUTATIONS,
    Allow,
    Challenge,
    ChallengeOffer,
    Decision,
    Deny,
    Hold,
    HoldOffer,
    Mutations,
    denial,
)

DECISION_ID: Final = "x-extauthz-decision-id"
METADATA: Final = "extauthz"

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
# RFC 9110 section 5.5 without obs-fold, and without white space at the ends, which the reader would drop: the
# upstream must not take "alice " for "alice". Above ASCII every character but half a surrogate pair.
_VALUE: Final = re.compile(
    r"(?:[^\x00-\x20\x7f\ud800-\udfff](?:[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*[^\x00-\x20\x7f\ud800-\udfff])?)?\Z"
)
_TEXT: Final = re.compile(r"[^\ud800-\udfff]*\Z")
# A path on the request's own origin: no second slash or backslash, which browsers read as another host.
_LOCATION: Final = re.compile(r"/(?![/\\])[!\"$-\[\]-~]*\Z")
_LARGEST_EXACT: Final = 2**53
_DEEPEST: Final = 32
# Seconds in what protobuf takes for the longest duration, 10,000 years.
_LONGEST: Final = 315_576_000_000


def sayable(decision: Decision, *, offer: ChallengeOffer | HoldOffer | None = None) -> Decision:
    """`decision` itself, or the refusal that takes its place because an answer can't carry it.

    `encode.say` asks this by itself, and returns what is said, so that the record says the same.
    """
    match decision:
        case Allow():
            fine = decision.mutations is NO_MUTATIONS or _mutations(decision.mutations)
        case Deny():
            wait = decision.retry_after
            fine = 200 <= decision.status <= 599 and _headers(decision.headers) and is_text(decision.body)
            fine = fine and (wait is None or 0 <= wait <= _LONGEST)
        case Challenge():
            fine = _challenge(decision) and (offer is None or _offer(offer))
        case Hold():
            fine = _hold(decision) and (offer is None or _offer(offer))
        case _:
            assert_never(decision)
    if fine and is_text(decision.reason) and (decision.rule is None or is_text(decision.rule)):
        return decision
    return denial("response-invalid")


def _mutations(mutations: Mutations) -> bool:
    return (
        _headers(mutations.headers)
        and (not mutations.response_headers or _headers(mutations.response_headers))
        and (not mutations.append_headers or _lines(mutations.append_headers, mutations.headers))
        and (
            not mutations.append_response_headers
            or _lines(mutations.append_response_headers, mutations.response_headers)
        )
        and (not mutations.remove_headers or all(map(_name, mutations.remove_headers)))
        and (not mutations.query or all(is_text(text) for pair in mutations.query.items() for text in pair))
        and (not mutations.remove_query or all(map(is_text, mutations.remove_query)))
        and (not mutations.metadata or (METADATA not in mutations.metadata and _json(mutations.metadata, 0)))
    )


def _challenge(challenge: Challenge) -> bool:
    """Somebody is asked for something, in words that a header can hold."""
    wait = challenge.retry_after
    return (
        (wait is None or 0 <= wait <= _LONGEST)
        and bool(challenge.demands)
        and all(
            -_LONGEST <= demand.max_age <= _LONGEST and is_value(demand.acr or "") and is_text(demand.description)
            for demand in challenge.demands
        )
    )


def _hold(hold: Hold) -> bool:
    """Somebody waits for something, in words that can be said."""
    wait = hold.retry_after
    return (
        (wait is None or 0 <= wait <= _LONGEST)
        and all(map(is_text, hold.approvals))
        and all(0 <= demand.expires_in <= _LONGEST and is_text(demand.description) for demand in hold.demands)
    )


def _offer(offer: ChallengeOffer | HoldOffer) -> bool:
    return _LOCATION.match(offer.location) is not None and all(is_value(cookie) for cookie in offer.cookies)


def _headers(headers: Mapping[str, str]) -> bool:
    """Names are valid, not ours, and unlike in any case; values are valid."""
    if not headers:
        return True
    for value in headers.values():
        if not is_value(value):
            return False
    return are_names(tuple(headers))


@lru_cache(maxsize=1024)
def are_names(names: tuple[str, ...]) -> bool:
    """Whether headers may have these names together: valid, not ours, and unlike in any case."""
    # Rules name them: they are always the same.
    lower = {name.lower() for name in names}
    return len(lower) == len(names) and DECISION_ID not in lower and all(map(_name, names))


def _lines(appended: Mapping[str, Sequence[str]], given: Mapping[str, str]) -> bool:
    """As `_headers`; no name is set as well, and each has lines."""
    first = {name: values[0] if values else "\n" for name, values in appended.items()}
    names = {name.lower() for name in given}
    return (
        _headers(first)
        and names.isdisjoint(map(str.lower, appended))
        and all(is_value(value) for values in appended.values() for value in values)
    )


def _name(name: str) -> bool:
    return _NAME.match(name) is not None


def is_value(value: str) -> bool:
    """Whether a header may have it."""
    return _VALUE.match(value) is not None


def is_text(text: str) -> bool:
    """Whether UTF-8 can hold it."""
    return text.isascii() or _TEXT.match(text) is not None


def _json(value: object, depth: int) -> bool:
    """Whether a protobuf Struct can hold `value` exactly."""
    if depth > _DEEPEST:
        return False
    match value:
        case None | bool():
            return True
        case str():
            return is_text(value)
        case int():
            return -_LARGEST_EXACT <= value <= _LARGEST_EXACT
        case float():
            return math.isfinite(value)
        case Mapping():
            return all(isinstance(name, str) and is_text(name) for name in value) and _all(value.values(), depth)
        case list() | tuple():
            return _all(value, depth)
        case _:
            return False


def _all(values: Iterable[object], depth: int) -> bool:
    return all(_json(value, depth + 1) for value in values)
