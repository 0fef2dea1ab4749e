"""What is secret about a webhook.

The rule: no message and no representation holds any of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from extauthz.approval.telling.signing import SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSecrets:
    """What is secret about a webhook, as it is now: its URL, what signs, and headers."""

    url: str = field(repr=False)
    keys: tuple[SigningKey, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
