"""Where a browser goes after a challenge: a path on this origin, or nowhere.

The rule: what any two readers (this code, a browser, a proxy, a framework) could read as another place is not followed.
"""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from extauthz.values.request import Caller, HttpRequest, RequestView

PAGES: Final = "/.extauthz/"
HOME: Final = "/"
MAX_LENGTH: Final = 2048

_DECODINGS: Final = 4
# Visible ASCII without `\` and `#`: no blank, tab, newline or other control character, which browsers drop.
_TARGET: Final = re.compile(r"/[!\"$-\[\]-~]*")
_HIDDEN: Final = re.compile(r"//|\\|[\x00-\x20\x7f]|/\.\.?(?:/|$)")


def is_safe_return_path(target: str) -> bool:
    """Whether `target` (path and query) can only mean a place on this origin, and not one of our own pages."""
    if len(target) > MAX_LENGTH or _TARGET.fullmatch(target) is None:
        return False
    path = target.partition("?")[0]
    for _ in range(_DECODINGS):
        if _HIDDEN.search(path) or f"{path}/".startswith(PAGES):
            return False
        path, encoded = unquote(path), path
        if path == encoded:
            return True
    return False


def return_path(request: RequestView, caller: Caller) -> str:
    """Where to send the browser that made `request` once the challenge is met.

    A navigation goes to where it was going. Anything else (a form's POST, a script's call) can't be repeated by a
    redirect: it goes back to the page that it came from, if that is on this origin, else home.
    """
    http = request.http
    if http is None:
        return HOME
    if caller is Caller.NAVIGATION and http.method in ("GET", "HEAD"):
        target = f"{http.raw_path}?{http.raw_query}" if http.raw_query else http.raw_path
    else:
        target = _page_before(http)
    return target if is_safe_return_path(target) else HOME


def _page_before(http: HttpRequest) -> str:
    try:
        referrer = urlsplit(http.header("referer") or "")
    except ValueError:
        return HOME
    if referrer.scheme != "https" or referrer.netloc.lower() != http.authority.lower():
        return HOME
    return f"{referrer.path}?{referrer.query}" if referrer.query else referrer.path
