"""The `admin:` block of extauthz.yaml: who may use the API on the admin address.

The rule: without a token there is no API; whoever can reach the address could block everybody.
"""

from extauthz.values.block import Block
from extauthz.values.secret import SecretPlace


class AdminSettings(Block):
    """The API for subjects, on `listen.admin`."""

    token: SecretPlace | None = None
    """The bearer token of the API that blocks and revokes subjects. Without one the API is not served, since whoever
    reaches the address could block everybody."""
