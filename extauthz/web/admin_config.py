"""The `admin:` block of extauthz.yaml: who may use the API on the admin address.

The rule: without a token there is no API; whoever can reach the address could block everybody.
"""

from extauthz.values.block import Block
from extauthz.values.secret import SecretPlace


class AdminSettings(Block):
    """`token` is the bearer token of the API for subjects, on `listen.admin`; without one it is not served."""

    token: SecretPlace | None = None
