"""Servers as the tests of the audit start them."""

from audit.conftest import folder, serve, transport

__all__ = ["folder", "serve", "transport"]
