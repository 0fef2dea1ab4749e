"""Policies: YAML documents with CEL conditions, compiled once, and the pure decision over them (design section 3)."""
