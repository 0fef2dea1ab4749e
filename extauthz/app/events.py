"""The event stream, put together from the settings: what makes events of records, and whom they are for."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence

import structlog

from extauthz.app.audit_heads import PATIENCE
from extauthz.app.wiring import open_configured_store
from extauthz.check.event_posting import Posting
from extauthz.errors import ExtauthzError
from extauthz.record.event_form import SOURCE, EventForm
from extauthz.record.events import Events, Listener
from extauthz.record.keeping import Record
from extauthz.record.masking import Keep
from extauthz.settings import Settings
from extauthz.values.letters import Letter

_log = structlog.get_logger(__name__)


def make_events(settings: Settings, post: Callable[[Sequence[Letter]], None]) -> Events | None:
    """What makes letters of records and hands them to `post`; `None` where nobody is told."""
    hooks = settings.events.webhooks
    if not hooks:
        return None
    listeners = [Listener(sink=one.name, selection=one.selection, rate=one.rate.per_rule) for one in hooks]
    return Events(listeners, _form(settings), writer=secrets.token_hex(8), post=post, clock=time.monotonic)


def tell_events(settings: Settings, records: Sequence[Record]) -> None:
    """Have the servers of the same store tell of what a command has done. It is done, so that it does not fail if that
    can't be; but the log says so."""
    if not (records and settings.events.webhooks) or settings.store == "memory:":
        return  # such a store is inside of a server

    async def put() -> None:
        store = open_configured_store(settings, patience=PATIENCE)
        try:
            posting = Posting(store, (one.name for one in settings.events.webhooks), clock=time.time)
            events = make_events(settings, posting.take)
            if events is not None:
                events.keep(records)
                events.close()
            await posting.finish()
        finally:
            await store.close()

    try:
        asyncio.run(put())
    except ExtauthzError as error:
        _log.error("events-dropped", error=str(error))


def _form(settings: Settings) -> EventForm:
    pages, audit = settings.approvals.url, settings.audit
    return EventForm(
        source=settings.events.source or pages or SOURCE,
        keep=Keep() if audit is None else Keep.of(audit.keep),
        approvals="" if pages is None else f"{pages}/approvals/",
        decisions="" if pages is None or settings.decisions is None else f"{pages}/decisions/",
    )
