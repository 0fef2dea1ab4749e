"""What a sampler says of a span that is to be exported."""

from typing import Final, final

from extauthz.record.span_attributes import Attributes


@final
class Sampled:
    """A span that is to be exported: what the sampler adds to it, and its `tracestate`."""

    def __init__(self, state: str, attributes: Attributes) -> None:
        self.state: Final = state
        self.attributes: Final = attributes


PLAIN: Final = Sampled("", {})
"""One to which it adds nothing, in a trace without a state."""
