"""How each kind of nodes becomes Python: one module for each family of nodes."""
