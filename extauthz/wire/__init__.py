"""Envoy's messages to values and back: nothing above this layer sees a protobuf message.

The rule: what two readers could read differently is refused on the way in (`decode`), and every answer on the way
out is explicit (`encode`): an empty CheckResponse means allow to Envoy.
"""
