"""From a template to a response: the one place that writes HTML, and the headers that keep it ours.

The rules: everything that comes from outside is escaped, and characters that would make it look like something else
are shown as what they are; a page loads nothing, runs no script but the one that its policy names by its hash, and is
neither kept nor framed.
"""

import unicodedata
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

Script = Literal["done", "webauthn", "register", "codes", "live", "waiting"]
"""What pages run: it tells other pages that a challenge is met, asks for a key, makes one known, keeps codes, shows
what has changed meanwhile, or goes on when an approval is answered."""

_SOURCES: Final[Mapping[Script, tuple[str, ...]]] = {
    "done": ("done.js",),
    "webauthn": ("keys.js", "webauthn.js"),
    "register": ("keys.js", "register.js"),
    "codes": ("codes.js",),
    "live": ("live.js",),
    "waiting": ("waiting.js",),
}
_CONNECTING: Final[frozenset[Script]] = frozenset({"live", "waiting"})
"""Scripts that ask this origin for more."""
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""General categories of Unicode: controls, format characters (bidirectional ones too), what has no glyph."""


def visible(text: str) -> str:
    """`text` with every character that shows nothing, or changes the order of others, as its number: `[U+202E]`."""
    return "".join(
        f"[U+{ord(character):04X}]" if unicodedata.category(character) in _UNSEEN else character for character in text
    )


def visible_lines(text: str) -> str:
    """As `visible`, but that a new line is one."""
    return "\n".join(visible(line) for line in text.split("\n"))


def duration(seconds: float) -> str:
    """A span of time in words, rounded up to a unit that people count in: `5 minutes`."""
    whole = max(1, -int(-seconds // 1))
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if whole >= 2 * unit or whole == unit:
            return _counted(-(-whole // unit), name)
    return _counted(whole, "second")


def clock(seconds: float) -> str:
    """A moment, in seconds since the epoch, to the minute that it is in: `2026-11-21 10:00 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def next_clock(seconds: float) -> str:
    """As `clock`, but the first minute that is not before it: by then it has come."""
    return clock(-(-seconds // _MINUTE) * _MINUTE)


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


class Pages:
    """The templates of this package; every page has the styles that are named."""

    def __init__(self, *styles: str) -> None:
        loader = PackageLoader("extauthz.web")
        self._environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters |= {
            "visible": visible,
            "visible_lines": visible_lines,
            "duration": duration,
            "clock": clock,
            "next_clock": next_clock,
        }
        # In the pages, so that they need no second request; the policies name them by their hashes.
        style, style_hash = self._embedded(loader, "style.css", *styles)
        scripts = {name: self._embedded(loader, *sources) for name, sources in _SOURCES.items()}
        self._environment.globals |= {"style": style}
        self._environment.globals |= {f"{name}_script": source for name, (source, _) in scripts.items()}
        # `form-action 'self'` would also bind the redirects after the form: an application that sends the browser on to
        # another origin, say to log in, would end in a blank page (Chromium holds the whole chain to it).
        self.headers: Final[Mapping[str, str]] = {
            "content-security-policy": (
                f"default-src 'none'; style-src '{style_hash}'; base-uri 'none'; form-action https:; "
                "frame-ancestors 'none'"
            ),
            "cache-control": "no-store",
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
        }
        """What every response of the pages carries."""
        policy = self.headers["content-security-policy"]
        self._policies = {
            name: f"{policy}; script-src '{hash_}'" + ("; connect-src 'self'" if name in _CONNECTING else "")
            for name, (_, hash_) in scripts.items()
        }

    def _embedded(self, loader: PackageLoader, *names: str) -> tuple[Markup, str]:
        """Files of ours to be written into pages as they are, one after the other, and their hash."""
        source = "".join(loader.get_source(self._environment, name)[0] for name in names)
        digest = b64encode(sha256(source.encode()).digest()).decode("ascii")
        return Markup(source), f"sha256-{digest}"  # noqa: S704 - our own file, no input

    def render(
        self,
        template: str,
        *,
        status: int,
        values: Mapping[str, object],
        headers: Mapping[str, str] = {},
        script: Script | None = None,
    ) -> HTMLResponse:
        """The page of `template` with `values`; it may run `script` and no other."""
        text = self._environment.get_template(template).render(values)
        allowed = {} if script is None else {"content-security-policy": self._policies[script]}
        return HTMLResponse(text, status_code=status, headers={**self.headers, **allowed, **headers})
