"""The cookies that identity reads.

The rule: a cookie that decides something has one value. Cookies of other applications may look as they like.
"""

from collections.abc import Mapping, Sequence

from extauthz.errors import MalformedRequest


def read(fields: Sequence[str], names: frozenset[str]) -> Mapping[str, str]:
    """The cookies called `names` in the `Cookie` fields of a request (RFC 6265 section 4.2), as they were sent.

    Several fields are one list (RFC 9113 section 8.2.3). Raises `MalformedRequest` if one of the names comes twice,
    or behind a comma: servers differ in which one they take, and Envoy joins several `Cookie` lines with a comma where
    it does not send them raw, so that what stands behind one may be a cookie to the upstream.
    """
    found: dict[str, str] = {}
    for field in fields:
        if not may_hold((field,), names):
            continue
        _refuse_behind_a_comma(field, names)
        for pair in field.split(";"):
            name, equals, value = pair.partition("=")
            # Only what HTTP calls white space: a name after other blanks is another name to a browser, which would
            # let any page of a sibling domain set a `__Host-` cookie.
            name = name.strip(" \t")
            if name not in names:
                continue
            if not equals:
                raise MalformedRequest(f"cookie: `{name}` has no value")
            if name in found:
                raise MalformedRequest(f"cookie: `{name}` is sent twice")
            found[name] = value.strip(" \t")
    return found


def may_hold(fields: Sequence[str], names: frozenset[str]) -> bool:
    """Whether one of the cookies may be there: most requests have none, and that is seen without taking them apart."""
    for field in fields:
        for name in names:
            if name in field:
                return True
    return False


def _refuse_behind_a_comma(field: str, names: frozenset[str]) -> None:
    for part in field.split(",")[1:]:
        name = part.partition(";")[0].partition("=")[0].strip(" \t")
        if name in names:
            raise MalformedRequest(f"cookie: `{name}` stands behind a comma")
