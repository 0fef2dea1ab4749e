"""Callers who come again: known by all the texts that they were known by, and only while these are good.

The rules: whoever is known here is whom a first look would find. A memory keeps no secrets, and what it compares tells
nothing about one.
"""

from collections.abc import Collection
from hashlib import sha256
from sys import getsizeof
from typing import Final

from extauthz.identity.remembered import Remembered
from extauthz.identity.user_config import AUTHORIZATION
from extauthz.values.headers import Headers, OneLineEach
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, Peer, RequestView

CACHED_CALLERS: Final = 4096

Texts = tuple[str | bytes | None, ...]
"""All that can tell who calls: the principal, certificate and address of the connection, the digest of the
Authorization header, and the other headers that are read, each in the one line that it came in."""
_DIGEST: Final = 3
"""Where that is in it; the other headers are behind."""
_LARGEST_EMPTY: Final = 96
_LARGEST_CHARACTER: Final = 8
"""Bytes that none takes more of: four, and four again where it was encoded."""

# As constants of this module they are at hand; what is imported is looked up each time.
_OneLineEach: Final = OneLineEach
_NO_METADATA: Final = EMPTY


class _Known:
    """Who was known, from when until when (seconds since the epoch) without another look."""

    def __init__(self, identity: Identity, since: float, until: float) -> None:
        self.identity: Final = identity
        self.since: Final = since
        self.until: Final = until


class _Told:
    """Who was told, `by` one memory, by a connection and by what headers have in common.

    `at` is the place of the only line that varies among those that tell, too, or -1; `text` is what it was, of the
    Authorization header its digest. `cookie` is the place of that header, or -1.
    """

    def __init__(self, by: object, source: Peer, at: int, text: str | bytes | None, cookie: int, known: _Known) -> None:
        self.by: Final = by
        self.source: Final = source
        self.at: Final = at
        self.text: Final = text
        self.cookie: Final = cookie
        self.known: Final = known


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
        # What is noted elsewhere outlives this memory, and must not keep it.
        self._mark: Final = object()

    def known(self, request: RequestView, now: float) -> Identity | None:
        """Who makes `request` at `now` (seconds since the epoch), if that is remembered."""
        texts = self.texts(request)
        return None if texts is None else self.known_by(texts, request, now)

    def known_by(self, texts: Texts, request: RequestView, now: float) -> Identity | None:
        """The same by its `texts`."""
        known = self._known.get(texts)
        if known is None or not known.since <= now < known.until:
            return None
        self._note(request, texts, known)
        return known.identity

    def again(self, request: RequestView, now: float) -> Identity | None:
        """As `known`, if that has noted it for this very connection and for what the headers have in common."""
        http = request.http
        if http is None or type(headers := http.headers) is not _OneLineEach or request.metadata is not _NO_METADATA:
            return None
        common = headers.common
        told = None if common is None else common.caller
        if not isinstance(told, _Told) or told.by is not self._mark or told.source is not request.source:
            return None
        known, at, cookie = told.known, told.at, told.cookie
        if not known.since <= now < known.until or (cookie >= 0 and self._may_have_cookie(headers.line(cookie))):
            return None
        if at >= 0:
            line = headers.line(at)
            if told.text != (line if isinstance(told.text, str) else _digest(line)):
                return None
        return known.identity

    def _note(self, request: RequestView, texts: Texts, known: _Known) -> None:
        """Note who is told by these `texts` where the next request of the connection looks first."""
        http = request.http
        headers = None if http is None else http.headers
        if type(headers) is not OneLineEach or (common := headers.common) is None:
            return
        places, at, varying = headers.places, -1, -1
        for index, name in enumerate((AUTHORIZATION, *self._headers)):
            place = places.get(name, -1)
            if place in common.varying and texts[_DIGEST + index] is not None:
                if at >= 0:
                    return
                at, varying = place, _DIGEST + index
        text = None if at < 0 else texts[varying]
        common.caller = _Told(self._mark, request.source, at, text, places.get("cookie", -1), known)

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
        places = sent.places
        place = places.get("cookie")
        if place is not None and self._may_have_cookie(sent.line(place)):
            return None
        digest = None
        if self._reads_authorization and (place := places.get(AUTHORIZATION)) is not None:
            digest = _digest(sent.line(place))
        source = request.source
        if self._only_header is not None:
            place = places.get(self._only_header)
            line = None if place is None else sent.line(place)
            return (source.principal, source.certificate, source.ip, digest, line)
        read = [None if place is None else sent.line(place) for place in map(places.get, self._headers)]
        return (source.principal, source.certificate, source.ip, digest, *read)

    def _may_have_cookie(self, line: str) -> bool:
        for name in self._cookies:  # noqa: SIM110 - what is compiled makes an object for `any`
            if name in line:
                return True
        return False


def _digest(line: str) -> bytes:
    return sha256(line.encode("utf-8", "surrogatepass")).digest()


def fit(texts: Collection[str | bytes | None], most: int) -> bool:
    """Whether texts take so many bytes at most."""
    bound = 0
    for text in texts:
        if text is not None:
            bound += _LARGEST_EMPTY + _LARGEST_CHARACTER * len(text)
    # To ask each of them takes longer than all else that is done with them.
    return bound <= most or sum([getsizeof(text) for text in texts if text is not None]) <= most


def _one_line_each(headers: Headers, names: tuple[str, ...]) -> OneLineEach | None:
    """The headers with these names; `None` if one of them came in several lines."""
    found: dict[str, str] = {}
    for name in names:
        fields = headers.get(name)
        if fields is not None:
            if len(fields) != 1:
                return None
            found[name] = fields[0]
    return OneLineEach({name: place for place, name in enumerate(found)}, tuple(found.values()), ())
