"""How a file says what its reader has to change."""

from typing import Final

MARK: Final = "Yours: "
"""Stands before what is said of an address, a file or a folder that the reader has to put in."""
