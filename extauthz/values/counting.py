"""Numbers with their nouns, as people read them."""


def counted(number: int, noun: str) -> str:
    """`1 record`, `2 records`; for nouns that take an `s`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
