"""Where security event tokens are pushed to (RFC 8935).

The rule: who has not proven who they are learns nothing, and is read no further than the headers; every answer is one
that RFC 8935 knows, or the status of HTTP for what it leaves to that.
"""

from typing import Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from extauthz.check.reception import Reception, UnknownTransmitter
from extauthz.errors import IssuerUnavailable, StateUnavailable
from extauthz.identity.compact import MAX_TOKEN_LENGTH
from extauthz.identity.signals.tokens import TokenRefused
from extauthz.web.json_api import JsonAnswer

SIGNALS_PATH: Final = "/.extauthz/signals/{name}"
"""Where the transmitter with this name pushes to."""
_MEDIA_TYPE: Final = "application/secevent+jwt"
_RETRY_SECONDS: Final = "5"

_log = structlog.get_logger(__name__)


def signal_routes(reception: Reception) -> list[Route]:
    """What a listener serves that takes tokens."""
    return [Route(SIGNALS_PATH, _Push(reception).serve, methods=["POST"])]


class _Push:
    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def serve(self, request: Request) -> Response:
        """POST: a token (RFC 8935 section 2.1)."""
        name = request.path_params["name"]
        try:
            self._reception.authenticate(name, request.headers.getlist("authorization"))
            text = await _token(request)
            if isinstance(text, Response):
                return text
            await self._reception.receive(name, text)
        except UnknownTransmitter:
            return Response(status_code=404)
        except TokenRefused as error:
            # RFC 8935 section 2.3
            answer = {"err": error.code, "description": str(error)}
            return JsonAnswer(answer, status_code=400, headers={"content-language": "en"})
        except (IssuerUnavailable, StateUnavailable):
            return Response(status_code=503, headers={"retry-after": _RETRY_SECONDS})
        except Exception:  # noqa: BLE001 - whatever it is, the transmitter is answered, and tries again
            _log.exception("signal-failed", transmitter=name)
            return Response(status_code=500)
        return Response(status_code=202)  # RFC 8935 section 2.2


async def _token(request: Request) -> str | Response:
    """What was sent, or what is answered instead of reading it."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _MEDIA_TYPE:
        return Response(status_code=415, headers={"accept-post": _MEDIA_TYPE})
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_TOKEN_LENGTH:
                return Response(status_code=413)
    except ClientDisconnect:
        return Response(status_code=400)
    return body.decode("ascii", "replace")
