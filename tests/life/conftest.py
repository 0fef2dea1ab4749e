"""Servers as the tests of the application start them."""

from app.conftest import serve

__all__ = ["serve"]
