"""Asks issuers and platforms what identity must know: their keys, and what they say of a token."""
