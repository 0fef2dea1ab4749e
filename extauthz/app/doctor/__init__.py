"""Looks at a running deployment: what is wrong, and what to do. The checks are in modules by their subject.

The rules kept here: nothing is changed, and a decision is asked for only where somebody wants it; no check waits for
another one, nor for ever; and nothing that is told is a secret.
"""
