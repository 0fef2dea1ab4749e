"""The server in a Python of its own, with a parent: what a worker of the `grpcio` transport does."""

import asyncio

import structlog

from extauthz.app.link import Assignment, Failed, ServerEnd, Stopped
from extauthz.app.logs import configure_logs
from extauthz.app.orders import FromParent
from extauthz.app.pace import settle
from extauthz.app.server import run
from extauthz.errors import ExtauthzError
from extauthz.lookup.names import NamesApart
from extauthz.transport.grpcio import GrpcioTransport

_log = structlog.get_logger(__name__)


def main() -> None:
    """Serve what the parent says until it says that it is enough."""
    settle()
    link, assignment = ServerEnd.of_this_process()
    configure_logs(assignment.settings.logs, worker=assignment.number)
    with asyncio.Runner(loop_factory=NamesApart) as runner:
        report = runner.run(_life(link, assignment))
    link.report(report)


async def _life(link: ServerEnd, assignment: Assignment) -> Failed | Stopped:
    orders = FromParent(link)
    running = asyncio.create_task(_serve(assignment, orders))
    orders.follow(running, clean_up=lambda: None)  # what is left is taken over by the next
    await asyncio.wait((running,))
    error = None if running.cancelled() else running.exception()
    match error:
        case None:
            return Stopped()
        case ExtauthzError():
            return Failed(str(error))
        case _:
            _log.error("server-failed", exc_info=error)
            return Failed("the server failed; the log says why")


async def _serve(assignment: Assignment, orders: FromParent) -> None:
    loop, settings = asyncio.get_running_loop(), assignment.settings
    await run(
        settings,
        assignment.environ,
        carry=lambda checker: GrpcioTransport(
            checker, loop, address=settings.listen.grpc, tls=settings.tls, sockets=settings.listen.made_sockets
        ),
        orders=orders,
    )
