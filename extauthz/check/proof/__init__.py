"""How what somebody shows becomes grants: one module for each factor, and what they have in common."""
