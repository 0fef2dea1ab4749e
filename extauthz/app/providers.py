"""The providers that users log in at for a challenge, each asked by one client.

The rule: one client for one provider, whoever's users it has, so that what it may be asked at once is bounded.
"""

from collections.abc import Mapping
from pathlib import Path

from extauthz.lookup.oidc import OidcClient
from extauthz.lookup.oidc_config import OidcSettings, provider_of


class Providers:
    """The clients of `settings`; paths are relative to `base`. Belongs to one event loop.

    Raises `ConfigurationError` for files that can't be used.
    """

    def __init__(self, settings: tuple[OidcSettings, ...], *, base: Path) -> None:
        clients = {one.issuer: OidcClient(one, base=base) for one in settings}
        self.by_issuer: Mapping[str, OidcClient] = {
            issuer: clients[one.issuer] for issuer, one in provider_of(settings).items()
        }
        """By the issuer of the users."""
        self._clients = tuple(clients.values())

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            await client.close()
