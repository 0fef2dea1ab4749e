"""Callers who come again: known by all the texts that they were known by, and only while these are good.

The rules: whoever is known here is whom a first look would find. A memory keeps no secrets, and what it compares tells
nothing about one.
"""

from collections.abc import Mapping
from hashlib import sha256
from sys import getsizeof
from typing import Final

from extauthz.identity.remembered import Remembered
from extauthz.identity.user_config import AUTHORIZATION
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

CACHED_CALLERS: Final = 4096

Texts = tuple[str | bytes | None, ...]
"""All that can tell who calls: the principal, certificate and address of the connection, the digest of the
Authorization header, and the other headers that are read, each in the one line that it came in."""


class _Known:
    """Who was known, from when until when (seconds since the epoch) without another look."""

    def __init__(self, identity: Identity, since: float, until: float) -> None:
        self.identity: Final = identity
        self.since: Final = since
        self.until: Final = until


class Returning:
    """Remembers whom their connection and these `headers` tell, within bounds; may be shared by threads.

    Whoever may have one of the `cookies` is none of them. `reads_authorization`: the Authorization header tells, too.
    """

    def __init__(self, headers: tuple[str, ...], *, cookies: frozenset[str], reads_authorization: bool) -> None:
        self._headers = headers
        self._only_header = headers[0] if len(headers) == 1 else None
        self._cookies = tuple(cookies)
        self._reads_authorization = reads_authorization
        self._known: Remembered[Texts, _Known] = Remembered(CACHED_CALLERS)

    def known(self, request: RequestView, now: float) -> Identity | None:
        """Who makes `request` at `now` (seconds since the epoch), if that is remembered."""
        texts = self.texts(request)
        found = None if texts is None else self._known.get(texts)
        return found.identity if found is not None and found.since <= now < found.until else None

    def remember(self, texts: Texts, identity: Identity, *, since: float, until: float) -> None:
        """Know who is told by these `texts`."""
        self._known.put(texts, _Known(identity, since, until))

    def texts(self, request: RequestView) -> Texts | None:
        """All that can tell who makes `request`; `None` where more has to be looked at."""
        http = request.http
        if http is None or request.metadata:
            return None
        headers = http.headers
        # Nearly all requests have each header in one line. These are looked at where they are.
        if type(headers) is OneLineEach:
            sent = headers
        else:
            told = _one_line_each(headers, ("cookie", AUTHORIZATION, *self._headers))
            if told is None:
                return None
            sent = told
        places, lines = sent.places, sent.lines
        place = places.get("cookie")
        if place is not None:
            cookie = lines[place]
            for name in self._cookies:
                if name in cookie:
                    return None
        digest = None
        if self._reads_authorization and (place := places.get(AUTHORIZATION)) is not None:
            digest = sha256(lines[place].encode("utf-8", "surrogatepass")).digest()
        source = request.source
        if self._only_header is not None:
            place = places.get(self._only_header)
            line = None if place is None else lines[place]
            return (source.principal, source.certificate, source.ip, digest, line)
        read = [None if place is None else lines[place] for place in map(places.get, self._headers)]
        return (source.principal, source.certificate, source.ip, digest, *read)


def size_of(texts: Texts) -> int:
    """How many bytes texts take."""
    return sum([getsizeof(text) for text in texts if text is not None])


def _one_line_each(headers: Mapping[str, tuple[str, ...]], names: tuple[str, ...]) -> OneLineEach | None:
    """The headers with these names; `None` if one of them came in several lines."""
    found: dict[str, str] = {}
    for name in names:
        fields = headers.get(name)
        if fields is not None:
            if len(fields) != 1:
                return None
            found[name] = fields[0]
    return OneLineEach({name: place for place, name in enumerate(found)}, tuple(found.values()), ())
