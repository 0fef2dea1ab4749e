"""The plain page that a person sees in place of what was asked for: no script, no style, nothing from elsewhere."""

from html import escape
from typing import Final

# Nothing may be loaded and nobody may frame it.
HEADERS: Final = (
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
)


def page(*, title: str, detail: str, reason: str, decision_id: str, link: tuple[str, str] | None = None) -> str:
    """The page's HTML; `link` is an address and its words. Every argument is escaped here."""
    way_on = f'<p><a href="{escape(link[0])}">{escape(link[1])}</a></p>\n' if link is not None else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title></head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(detail)}</p>\n{way_on}"
        f"<p><small>Reason: {escape(reason)}. Reference: {escape(decision_id)}</small></p>\n"
        "</main>\n</body>\n</html>\n"
    )
