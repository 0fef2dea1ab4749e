r"""X-Forwarded-Client-Cert: the header in which Envoy tells whose certificate a request came with.

The rule: one reading or none. The header is read once, forward, in linear time; whatever another reader could split
elsewhere is refused. Envoy documents the form under "x-forwarded-client-cert":

    header  = element *( OWS "," OWS element )
    element = pair *( ";" pair )
    pair    = key "=" ( quoted / bare )         keys in any case
    quoted  = DQUOTE … DQUOTE                   `\"` is a quote inside
    bare    = no `"`, `\\`, `,`, `;`, `=`, space or control character; may be empty
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from extauthz.errors import MalformedRequest
from extauthz.values.quoting import given

HEADER = "x-forwarded-client-cert"

# One pair with what follows it, or else all the rest. Possessive parts: no text is walked more than once.
_PAIR = re.compile(
    r"([A-Za-z]++)="
    r'(?:"((?:[^"\\\x00-\x1f\x7f]++|\\[^\x00-\x1f\x7f])*+)"|([!#-+\--:<>-\[\]-~]*+))'
    r"(;|[ \t]*+,[ \t]*+|\Z)"
    r"|([\s\S]++)"
)
# `\\"` ends a value for who takes `\` as an escape of any character, and not for who takes `\"` as the only escape.
_AMBIGUOUS_QUOTE = re.compile(r'(?<!\\)(?:\\\\)++"')

# More than any chain of proxies writes; an equals sign in a quoted text counts as a pair.
_MOST_PAIRS = 2_048

_REPEATABLE = frozenset({"by", "uri", "dns"})
_SINGLE = frozenset({"hash", "cert", "chain", "subject"})


class Element(NamedTuple):
    """What one proxy says of the certificate of its peer, empty values included: Envoy sends `Subject=""`.

    `by` are URI names of the proxy's own certificate, `uri` and `dns` those of the peer's, `hash` is the peer
    certificate's SHA-256 in hex as sent, `cert` and `chain` are URL-encoded PEM, `subject` is RFC 2253 text.
    """

    by: tuple[str, ...] = ()
    hash: str = ""
    cert: str = ""
    chain: str = ""
    subject: str = ""
    uri: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()


def parse(text: str) -> tuple[Element, ...]:
    """All elements of the header, the immediate peer's last. Raises `MalformedRequest`; linear in `len(text)`."""
    if text.count("=") > _MOST_PAIRS:
        raise MalformedRequest(f"{HEADER}: more than {_MOST_PAIRS} pairs of `key=value`")
    if "\\" in text and _AMBIGUOUS_QUOTE.search(text) is not None:
        raise MalformedRequest(f"{HEADER}: a quote after an even number of backslashes has two readings")
    elements: list[Element] = []
    single: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    separator = ";"
    for name, quoted, bare, separator, rest in _PAIR.findall(text):
        if rest:
            raise MalformedRequest(f"{HEADER}: expected `key=value` at offset {len(text) - len(rest)}")
        key = name.lower()
        value = quoted.replace('\\"', '"') if quoted else bare
        if key in _REPEATABLE:
            several.setdefault(key, []).append(value)
        elif key not in _SINGLE:
            raise MalformedRequest(f"{HEADER}: unknown key {given(name)}")
        elif key in single:
            raise MalformedRequest(f"{HEADER}: `{key}` twice in one element")
        else:
            single[key] = value
        if separator != ";":
            elements.append(_element(single, several))
            single, several = {}, {}
    if separator:
        raise MalformedRequest(f"{HEADER}: expected `key=value` at the end")
    return tuple(elements)


def _element(single: Mapping[str, str], several: Mapping[str, list[str]]) -> Element:
    return Element(
        tuple(several["by"]) if "by" in several else (),
        single.get("hash", ""),
        single.get("cert", ""),
        single.get("chain", ""),
        single.get("subject", ""),
        tuple(several["uri"]) if "uri" in several else (),
        tuple(several["dns"]) if "dns" in several else (),
    )
