"""Who calls: a workload by mutual TLS, a user by a token, and what the caller holds beside it.

The rule of this layer: nothing that the caller can write proves anything alone, and a credential that was presented
and is not valid ends the Check; it is never treated as if it had not been there.
"""
