"""For whoever runs the server: is it alive, is it ready, with which policies, and what it counts.

Served on the admin address, never through Envoy.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extauthz.check.revocation_feed import FeedStanding
from extauthz.check.store_watch import StoreStanding
from extauthz.lookup.key_sets import Standing
from extauthz.web.json_api import JsonAnswer
from extauthz.web.metrics import Metrics


class Readiness:
    """What the probes report; written by the server, read by the probes, in one event loop."""

    def __init__(self) -> None:
        self._serving = False
        self._revision = ""
        self._reload_error: str | None = None
        self._standings: Callable[[], Mapping[str, Standing]] = dict
        self._revocations: Callable[[], FeedStanding] | None = None
        self._store: Callable[[], StoreStanding] | None = None

    def follow_keys(self, standings: Callable[[], Mapping[str, Standing]]) -> None:
        """Report how it stands with fetched keys, by the name of the source."""
        self._standings = standings

    def follow_revocations(self, standing: Callable[[], FeedStanding]) -> None:
        """Report how it stands with revocations."""
        self._revocations = standing

    def follow_store(self, standing: Callable[[], StoreStanding]) -> None:
        """Report how it stands with the store, and be ready only once it was reached.

        An outage that comes later is told and changes nothing: all servers share the store, and if all were taken out,
        what needs no state would be denied, too.
        """
        self._store = standing

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
        return self._serving and (self._store is None or self._store().reached)

    @property
    def report(self) -> dict[str, object]:
        """What `/ready` says."""
        return {
            "serving": self.serving,
            "revision": self._revision,
            "reload_error": self._reload_error,
            "keys": {source: _report(standing) for source, standing in self._standings().items()},
            "revocations": None if self._revocations is None else _report_feed(self._revocations()),
            "store": None if self._store is None else _report_store(self._store()),
        }


def _report(standing: Standing) -> dict[str, object]:
    return {
        "known": standing.confirmed_at is not None,
        "failing_since": standing.failing_since,
        "error": standing.error,
    }


def _report_feed(standing: FeedStanding) -> dict[str, object]:
    return {
        "known": standing.confirmed_at is not None,
        "stale": standing.is_stale,
        "failing_since": standing.failing_since,
        "error": standing.error,
    }


def _report_store(standing: StoreStanding) -> dict[str, object]:
    return {"reached": standing.in_reach, "failing_since": standing.failing_since, "error": standing.error}


def create_probes(readiness: Readiness, metrics: Metrics, beside: Sequence[Route] = ()) -> Starlette:
    """`GET /live` (200 while the loop turns), `GET /ready` (200, or 503 when not serving) and `GET /metrics`; and what
    is served `beside` them.
    """

    async def live(_: Request) -> JsonAnswer:
        return JsonAnswer({"live": True})

    async def ready(_: Request) -> JsonAnswer:
        return JsonAnswer(readiness.report, status_code=200 if readiness.serving else 503)

    async def exposition(request: Request) -> Response:
        families = metrics.families()
        # Decisions go on meanwhile: to write it all down takes longer than to look.
        text, media_type = await asyncio.to_thread(families.exposition, request.headers.get("accept", ""))
        return Response(text, headers={"content-type": media_type})

    app = Starlette(routes=[Route("/live", live), Route("/ready", ready), Route("/metrics", exposition), *beside])
    # A redirect to the same path with a slash would be built from the Host header.
    app.router.redirect_slashes = False
    return app
