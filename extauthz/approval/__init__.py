"""Just-in-time approval, pure: who may answer what waits, what counts, and what becomes of it."""
