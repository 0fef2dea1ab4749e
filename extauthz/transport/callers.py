"""Who may call where callers show a certificate: by the names in it, after the handshake has verified it.

The rule: an X509-SVID has exactly one URI (X509-SVID section 2). A certificate with more is nobody's.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import structlog

from extauthz.identity import spiffe
from extauthz.policy.workloads import parse

MOST_TOLD: Final = 16
"""Certificates that the log names; all are counted."""
_LONGEST_TOLD: Final = 300
_URIS: Final = "peer_uri"
_HOSTS: Final = "peer_dns"
_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# RFC 1035 section 2.3.4: at most 253 characters. With a number as its last label it would be an address (RFC 3696
# section 2).
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z)(?!(?:.*\.)?[0-9]+\Z){_LABEL}(?:\.{_LABEL})*")
_OTHER_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-)+\--~]+")
"""Without `*`, which would look like a pattern, and the comma, which stands between names."""
_SEGMENT: Final = "[A-Za-z0-9._-]+"

_log = structlog.get_logger(__name__)


def caller_name(text: str) -> str:
    """The name of a caller as the configuration writes it: a SPIFFE ID or a pattern of them, another URI, or a host.

    Raises:
        ValueError: it is none of them.
    """
    if text[:9].lower() == "spiffe://":
        spiffe.pattern_parts(text)
    elif (_OTHER_URI if is_uri(text) else _HOST).fullmatch(text) is None:
        raise ValueError(
            "not a name of a certificate; write `spiffe://prod.example.org/ns/mesh/sa/gateway`, or a host without a"
            " port; only in a SPIFFE ID `*` stands for a segment, and a final `**` for any"
        )
    return text


def is_uri(name: str) -> bool:
    """Whether a name is among a certificate's URIs, and else among its DNS names."""
    return "://" in name


def is_pattern(name: str) -> bool:
    """Whether a name stands for many."""
    return name.startswith("spiffe://") and "*" in name


def expression_of(pattern: str) -> str:
    """A pattern as a regular expression of RE2, for somebody else to match a whole name with."""
    domain, *segments = spiffe.pattern_parts(pattern)
    wild = {"*": f"/{_SEGMENT}", "**": f"(/{_SEGMENT})*"}
    return "spiffe://" + re.escape(domain) + "".join(wild.get(one, "/" + re.escape(one)) for one in segments)


class Callers:
    """Lets in who has one of `names`. Counts the others, and tells of each once.

    `setting` is the key of extauthz.yaml that messages name. For any thread.
    """

    def __init__(self, names: Iterable[str], *, setting: str) -> None:
        known = frozenset(names)
        self._patterns = tuple(parse(name) for name in known if is_pattern(name))
        self._uris = frozenset(name for name in known if is_uri(name) and not is_pattern(name))
        self._hosts = frozenset(name for name in known if not is_uri(name))
        self._setting = setting
        self._lock = threading.Lock()
        self._refused = 0
        self._told: set[str] = set()
        self._fits: Callable[[tuple[str, ...], tuple[str, ...]], bool] = lru_cache(maxsize=256)(self._has_a_name)

    @property
    def details(self) -> str:
        """What the others are told."""
        return f"not a caller that `{self._setting}.callers` names"

    @property
    def refused(self) -> int:
        """How many calls were refused since the start."""
        return self._refused

    def knows(self, certificate: Mapping[str, Iterable[bytes]]) -> bool:
        """Whether gRPC's `auth_context` is that of a caller who is let in."""
        return self.admits(_texts(certificate.get(_URIS, ())), _texts(certificate.get(_HOSTS, ())))

    def admits(self, uris: Sequence[str], hosts: Sequence[str]) -> bool:
        """Whether a verified certificate with these URI and DNS names is that of a caller who is let in."""
        if self._fits(tuple(uris), tuple(hosts)):
            return True
        self._turned_away(", ".join((*uris, *hosts)) or "no name")
        return False

    def _has_a_name(self, uris: tuple[str, ...], hosts: tuple[str, ...]) -> bool:
        if len(uris) > 1:
            return False
        if not (self._uris.isdisjoint(uris) and self._hosts.isdisjoint(hosts)):
            return True
        return any(spiffe.parse(uri, verified_by="") and one.fits(uri) for uri in uris for one in self._patterns)

    def _turned_away(self, names: str) -> None:
        with self._lock:
            self._refused += 1
            news = names not in self._told and len(self._told) < MOST_TOLD
            if news:
                self._told.add(names)
        if news:
            _log.warning("caller-refused", names=names[:_LONGEST_TOLD], setting=f"{self._setting}.callers")


def _texts(values: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(value.decode("utf-8", "replace") for value in values)
