"""What came from outside, as a terminal may be shown it."""

from rich.markup import escape


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def no_markup(text: str) -> str:
    """The text in the markup of a console: nothing in it is obeyed."""
    return escape(printable(text))
