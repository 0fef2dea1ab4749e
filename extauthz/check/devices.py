"""Devices: by what a request is known to come from one, and what a challenge that was met there leaves in its browser.

The rules: a device is known for who has proven something on it, by its own cookie, or because a gateway says so that is
listed; it is known no more when it was revoked, or after `lifetime`. Whoever shows nothing comes from an unknown one.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import structlog

from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import StateUnavailable
from extauthz.policy.device_config import DeviceSettings
from extauthz.policy.workloads import WorkloadPattern
from extauthz.record.chronicle import REQUESTER, SILENT, Chronicle
from extauthz.record.session_hash import session_hash
from extauthz.stepup.cookies import read_cookie
from extauthz.stepup.devices import DEVICE_ID_BYTES, NONCE_BYTES, Device, read_device, write_device
from extauthz.stepup.keys import KeyRing
from extauthz.store.devices import DeviceStore, ListedDevice
from extauthz.values.identity import DEVICE_COOKIE, Identity, Subject
from extauthz.values.request import HttpRequest, RequestView

LONGEST_ID: Final = 256
"""Characters of an id that a gateway gives."""
LONGEST_NAME: Final = 120
"""Characters that are kept of what a browser calls itself."""
_UNKNOWN: Final[Mapping[str, Any]] = {"known": False}

_log = structlog.get_logger(__name__)


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """`entropy(n)` gives n random bytes; `revocations` is `None` where nobody can revoke anything."""

    keys: KeyRing
    store: DeviceStore
    entropy: Callable[[int], bytes]
    lifetime: float
    header: str | None = None
    gateways: tuple[WorkloadPattern, ...] = ()
    revocations: RevocationFeed | None = None
    chronicle: Chronicle = SILENT

    @classmethod
    def of(
        cls,
        settings: DeviceSettings,
        *,
        keys: KeyRing,
        store: DeviceStore,
        entropy: Callable[[int], bytes],
        revocations: RevocationFeed | None,
        chronicle: Chronicle = SILENT,
    ) -> "Devices":
        """As these settings have them."""
        header = settings.header
        return cls(
            keys=keys,
            store=store,
            entropy=entropy,
            lifetime=settings.lifetime,
            header=None if header is None else header.name,
            gateways=() if header is None else header.gateways,
            revocations=revocations,
            chronicle=chronicle,
        )

    def of_request(self, request: RequestView, identity: Identity, now: float) -> Mapping[str, Any]:
        """The fields of `device` at `now` (seconds since the epoch): `known`, and where there are some `id` and `age`.

        The age is in seconds, since the subject has proven itself there first.
        """
        http, subject = request.http, identity.subject
        if http is None or subject is None:
            return _UNKNOWN
        if self.header is not None and (named := http.headers.get(self.header)) and self._believes(identity):
            return self._of_gateway(named, subject, now)
        return self._of_cookie(http, subject, now)

    async def after_proof(
        self, value: str | None, subject: Subject, *, host: str, name: str, now: float, by: str = REQUESTER
    ) -> str | None:
        """The new value of the cookie that had this one, after a challenge that the subject has met in its browser.

        `host` is the canonical one of the page, `name` what the browser calls itself, `by` what records call whoever is
        there. `None` if it can't be listed, so that nobody could revoke it.
        """
        known = read_device(value, self.keys, host=host)
        before = None if known is None else known.proven_by(subject)
        if known is None or self._is_revoked(known.id, subject, now if before is None else before.last, now):
            known = Device(id=self.entropy(DEVICE_ID_BYTES).hex())
        device = known.after_proof(subject, now=now, lifetime=self.lifetime)
        proven = device.proven_by(subject)
        assert proven is not None  # noqa: S101 - it was just added
        listed = ListedDevice(
            id=device.id,
            subject=subject,
            first_at=proven.first,
            proven_at=now,
            until=now + self.lifetime,
            name="".join(char if char.isprintable() else " " for char in name[:LONGEST_NAME]),
        )
        try:
            await self.store.put_device(listed, now=now)
        except StateUnavailable as error:
            _log.error("device-not-listed", error=str(error), subject=subject.key)
            return None
        if known.proven_by(subject) is None:
            hashed = session_hash(device.id)
            self.chronicle.tell("device.known", subject=subject, by=by, details={"device": hashed})
        return write_device(device, self.keys, host=host, nonce=self.entropy(NONCE_BYTES))

    def _believes(self, identity: Identity) -> bool:
        workload = identity.workload
        return workload is not None and any(pattern.fits(workload.id) for pattern in self.gateways)

    def _of_gateway(self, named: tuple[str, ...], subject: Subject, now: float) -> Mapping[str, Any]:
        # Of two names neither is believed. Unless Envoy is told to send each line, it joins two with a comma, and an id
        # with somebody else's beside it would be a device that nobody has revoked.
        if len(named) != 1 or not named[0] or "," in named[0] or len(named[0]) > LONGEST_ID:
            return _UNKNOWN
        return {"id": named[0], "known": not self._is_revoked(named[0], subject, now, now)}

    def _of_cookie(self, http: HttpRequest, subject: Subject, now: float) -> Mapping[str, Any]:
        value = read_cookie(http.headers.get("cookie", ()), DEVICE_COOKIE)
        device = read_device(value, self.keys, host=http.host)
        if device is None:
            return _UNKNOWN
        proven = device.proven_by(subject)
        if (
            proven is None
            or proven.last + self.lifetime <= now
            or self._is_revoked(device.id, subject, proven.last, now)
        ):
            return {"id": device.id, "known": False}
        return {"id": device.id, "known": True, "age": max(0.0, now - proven.first)}

    def _is_revoked(self, device: str, subject: Subject, proven_at: float, now: float) -> bool:
        revocations = self.revocations
        return revocations is not None and revocations.has_device(device, subject, proven_at=proven_at, now=now)
