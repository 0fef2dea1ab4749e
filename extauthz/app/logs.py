"""What the server says of itself: structured lines on standard error, JSON unless a person is watching.

The rules kept here: what somebody may send us makes no line for each time that it comes. A decision is a record, and a
line of the log is about the server; where it is about one decision, it has its id and its trace. And nothing in a line
steers the terminal of the person who watches: errors quote what others have sent.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo

from extauthz.settings import LogSettings

_DEFAULT = LogSettings()


def configure_logs(settings: LogSettings = _DEFAULT, *, worker: int | None = None) -> None:
    """Send structlog and the standard library's loggers to standard error, each line with the number of the worker.

    Called again once the settings are known.
    """

    def signed(_: object, __: str, event: EventDict) -> EventDict:
        return event if worker is None else {**event, "worker": worker}

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        signed,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Never with the frames' locals: they hold tokens, codes and secrets.
    rendering: list[structlog.typing.Processor] = (
        [_seen, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_traceback)]
        if settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
        else [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    for chatty in ("httpx", "watchfiles"):  # each request, and each event
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Each start of a listener, and each request that is none, which is its sender's affair.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _seen(_: object, __: str, event: EventDict) -> EventDict:
    return {name: _shown(value) if isinstance(value, str) else value for name, value in event.items()}


def _traceback(stream: TextIO, raised: ExcInfo) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, raised)
    stream.write(_shown(text.getvalue()))


def _shown(text: str) -> str:
    """The text with an escape for each character that a terminal would obey or not show."""
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode("ascii") for one in text
    )


@contextmanager
def no_logs() -> Iterator[None]:
    """Nothing is logged meanwhile: for a command, which tells what it found itself."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def logs_beside_answers() -> Iterator[None]:
    """What is logged meanwhile goes to standard error: standard output is for the answer of a command."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    finally:
        structlog.configure(**before)
