"""Just-in-time approval. The layer is here for its place in the import order; approvals are not built yet."""
