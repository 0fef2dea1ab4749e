"""The page that a person sees in place of what was asked for: no script, nothing from elsewhere, nothing to fill in."""

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Final

# Colours of the challenge page, with a contrast of at least 4.5 : 1 in either scheme (WCAG 2.2, 1.4.3).
_STYLE: Final = (
    ":root{color-scheme:light dark;--page:#f3f4f6;--card:#fff;--text:#16181d;--quiet:#50555f;--line:#d3d6dc;"
    "--accent:#1a4fb8;--on-accent:#fff}"
    "@media(prefers-color-scheme:dark){:root{--page:#111318;--card:#1b1e25;--text:#eceef2;--quiet:#b0b6c2;--line:#363b46;"
    "--accent:#8ab4ff;--on-accent:#0b1a36}}"
    "*{box-sizing:border-box}"
    "body{margin:0;padding:1.5rem 1rem;background:var(--page);color:var(--text);font:1rem/1.5 system-ui,sans-serif}"
    "main{max-width:30rem;margin:4vh auto;padding:1.75rem;background:var(--card);border:1px solid var(--line);"
    "border-radius:.75rem}"
    "h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.25}"
    "p{margin:0 0 1.25rem}"
    "a{display:block;padding:.75rem;border-radius:.5rem;background:var(--accent);color:var(--on-accent);"
    "font-weight:600;text-align:center;text-decoration:none}"
    ":focus-visible{outline:3px solid var(--accent);outline-offset:2px}"
    "dl{margin:0;padding-top:1rem;border-top:1px solid var(--line);color:var(--quiet);font-size:.9375rem}"
    "dl div{display:flex;flex-wrap:wrap;gap:0 .75rem}"
    "dt{min-width:5.5rem}"
    "dd{margin:0;min-width:0;overflow-wrap:anywhere;font-family:ui-monospace,monospace}"
    "@media(max-width:26rem){body{padding:.75rem}main{margin:0;padding:1.25rem}}"
)
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()

# Nothing may be loaded and nobody may frame it; the one style is that of the page itself.
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", _POLICY),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
)

_BEFORE_TITLE: Final = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    '<meta name="robots" content="noindex">\n<title>'
)
_BEFORE_HEADING: Final = f"</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>"


def page(*, heading: str, detail: str, reason: str, decision_id: str, link: tuple[str, str] | None = None) -> str:
    """The page's HTML; `link` is an address and its words. Every argument is escaped here."""
    way_on = f'<p><a href="{escape(link[0])}">{escape(link[1])}</a></p>\n' if link is not None else ""
    named = escape(heading)
    return (
        f"{_BEFORE_TITLE}{named}{_BEFORE_HEADING}{named}</h1>\n<p>{escape(detail)}</p>\n{way_on}"
        f"<dl>\n<div><dt>Reason</dt><dd>{escape(reason)}</dd></div>\n"
        f"<div><dt>Reference</dt><dd>{escape(decision_id)}</dd></div>\n</dl>\n"
        "</main>\n</body>\n</html>\n"
    )
