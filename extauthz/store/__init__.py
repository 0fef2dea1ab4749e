"""What must be remembered between requests, behind one protocol. Whatever must be atomic is one call of it."""
