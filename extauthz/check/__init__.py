"""The path of a request: bytes of a CheckRequest in, bytes of a CheckResponse out (design section 1)."""
