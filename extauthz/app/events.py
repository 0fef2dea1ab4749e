"""The event stream, put together from the settings: what makes events of records, and whom they are for."""

import secrets
import time
from collections.abc import Callable, Sequence

from extauthz.record.event_form import SOURCE, EventForm
from extauthz.record.events import Events, Listener
from extauthz.record.masking import Keep
from extauthz.settings import Settings
from extauthz.values.letters import Letter


def make_events(settings: Settings, post: Callable[[Sequence[Letter]], None]) -> Events | None:
    """What makes letters of records and hands them to `post`; `None` where nobody is told."""
    hooks = settings.events.webhooks
    if not hooks:
        return None
    listeners = [Listener(sink=one.name, selection=one.selection, rate=one.rate.per_rule) for one in hooks]
    return Events(listeners, _form(settings), writer=secrets.token_hex(8), post=post, clock=time.monotonic)


def _form(settings: Settings) -> EventForm:
    pages, audit = settings.approvals.url, settings.audit
    return EventForm(
        source=settings.events.source or pages or SOURCE,
        keep=Keep() if audit is None else Keep.of(audit.keep),
        approvals="" if pages is None else f"{pages}/approvals/",
        decisions="" if pages is None or settings.decisions is None else f"{pages}/decisions/",
    )
