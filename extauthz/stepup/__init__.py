"""Fresh proof: what it is bound to, how it is asked for and how it is checked. Pure: time, randomness and keys are
arguments; what must happen once is burned by `store`.
"""
