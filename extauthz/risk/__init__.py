"""How unusual a request is. The layer is here for its place in the import order; risk models are not built yet."""
