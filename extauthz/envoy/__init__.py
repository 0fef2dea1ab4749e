"""Envoy's own configuration: made, and judged.

The rule kept here: nothing of this is on the path of a request, and the server imports none of it. Envoy's messages are
those of envoy-data-plane.
"""
