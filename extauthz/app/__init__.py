"""Builds and wires everything, runs it, and reloads what decides."""
