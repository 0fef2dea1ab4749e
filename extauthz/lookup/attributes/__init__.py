"""Asks attribute sources for external facts: over HTTP, over gRPC, or as AuthZEN has it."""
