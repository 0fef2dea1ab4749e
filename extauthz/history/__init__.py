"""What recorded decisions tell: read back, replayed against other policies, and turned into a draft of policies.

The rule kept here: a record holds less than the request did. What it does not hold is unknown, never guessed.
"""
