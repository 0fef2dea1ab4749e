"""Probes for whoever runs the server: is it alive, is it ready, and with which policies.

Served on the admin address, never through Envoy.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class Readiness:
    """What the probes report; written by the server, read by the probes, in one event loop."""

    def __init__(self) -> None:
        self._serving = False
        self._revision = ""
        self._reload_error: str | None = None

    def ready(self, revision: str) -> None:
        """Policies of this revision are in force."""
        self._serving, self._revision, self._reload_error = True, revision, None

    def reload_failed(self, error: str) -> None:
        """The newest policies were refused; those before stay in force."""
        self._reload_error = error

    def stopping(self) -> None:
        """New calls should go elsewhere."""
        self._serving = False

    @property
    def serving(self) -> bool:
        """Whether calls should come here."""
        return self._serving

    @property
    def report(self) -> dict[str, object]:
        """What `/ready` says."""
        return {"serving": self._serving, "revision": self._revision, "reload_error": self._reload_error}


def create_probes(readiness: Readiness) -> Starlette:
    """The application with `GET /live` (200 while the loop turns) and `GET /ready` (200, or 503 when not serving)."""

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> JSONResponse:
        return JSONResponse(readiness.report, status_code=200 if readiness.serving else 503)

    return Starlette(routes=[Route("/live", live), Route("/ready", ready)])
