"""Envoy's configuration judged: what in it would make extauthz's answers miss, come too late or count for nothing.

text -> reading (values that know their place) -> resources (listeners, routes, clusters) -> model (who is asked about
what) -> rules, each a small function in a table -> findings.

The rule kept here: a file is read as Envoy reads it, and what can't be seen in it is told, not taken for good.
"""
