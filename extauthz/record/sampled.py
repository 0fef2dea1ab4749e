"""What a sampler says of a span that is to be exported."""

from typing import Final

import msgspec

from extauthz.record.span_attributes import Attributes


class Sampled(msgspec.Struct, frozen=True):
    """A span that is to be exported: what the sampler adds to it, and its `tracestate`."""

    state: str
    attributes: Attributes


PLAIN: Final = Sampled("", {})
"""One to which it adds nothing, in a trace without a state."""
