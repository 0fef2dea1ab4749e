"""Second factors of people, put into the store of a running stage as the product makes them."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from extauthz.app.wiring import load_keys, open_configured_store
from extauthz.cli.quickstart.tokens import ISSUER
from extauthz.identity.revocations import Revocation
from extauthz.settings import load_settings
from extauthz.stepup.authenticators import USER_HANDLE_BYTES
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.recovery import CODE_BYTES, CODES, make_codes
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.totp import SECRET_BYTES, code_at, step_at
from extauthz.stepup.webauthn import registration_options, verify_registration
from extauthz.store.factor_secret import FACTOR_ID_BYTES, seal_codes, seal_factor
from extauthz.store.protocol import EnrolledFactor, Enrolment, Selection, Store
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

T = TypeVar("T")

_CHALLENGE = b"r" * 32
_PATIENCE = 10.0
"""Seconds that a Redis may take on a machine that is busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorStore:
    """The store that the extauthz in `folder` uses."""

    folder: Path

    @property
    def keys(self) -> KeyRing:
        """Its key ring."""
        return load_keys(load_settings(self.folder / "extauthz.yaml"))

    def do(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """What `work` makes of the store, in a thread of its own: playwright keeps an event loop in that of tests."""

        async def run() -> T:
            store = open_configured_store(load_settings(self.folder / "extauthz.yaml"), patience=_PATIENCE)
            try:
                return await work(store)
            finally:
                await store.close()

        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(asyncio.run, run()).result()

    def grants(self, sub: str) -> tuple[Grant, ...]:
        """What `sub` has proven."""
        return self.do(lambda store: store.grants(Selection(subject=Subject(ISSUER, sub)), now=time.time()))

    def revoke(self, revocation: Revocation) -> None:
        """Let it count no more."""
        self.do(lambda store: store.put_revocation(revocation, now=time.time()))

    def add_app(self, sub: str) -> Callable[[int], str]:
        """A new authenticator app; its code, so many steps ahead."""
        secret = os.urandom(SECRET_BYTES)
        self._enroll(
            seal_factor(
                secret,
                subject=Subject(ISSUER, sub),
                confirmed=True,
                keys=self.keys,
                now=time.time(),
                entropy=os.urandom,
            )
        )
        return lambda ahead: code_at(secret, step_at(time.time()) + ahead)

    def add_recovery_codes(self, sub: str) -> tuple[str, ...]:
        """A new list of codes, as people read them."""
        codes = make_codes(os.urandom(CODES * CODE_BYTES))
        subject = Subject(ISSUER, sub)
        self._enroll(*seal_codes(codes, subject=subject, keys=self.keys, now=time.time(), entropy=os.urandom))
        return codes

    def registration(self, sub: str, relying_party: RelyingParty, handle: bytes) -> Mapping[str, Any]:
        """What a browser is given to register an authenticator of `sub`."""
        return registration_options(
            relying_party,
            user_name=sub,
            user_handle=handle,
            challenge=_CHALLENGE,
            registered=[],
            user_verification="preferred",
        )

    def add_authenticator(self, sub: str, relying_party: RelyingParty, handle: bytes, answer: str) -> None:
        """The authenticator that a browser's `answer` to that brings."""
        assert len(handle) == USER_HANDLE_BYTES
        registered = verify_registration(
            answer,
            relying_party=relying_party,
            challenge=_CHALLENGE,
            user_handle=handle,
            registered=[],
            user_verification="preferred",
        )
        self._enroll(
            EnrolledFactor(
                id=os.urandom(FACTOR_ID_BYTES).hex(),
                subject=Subject(ISSUER, sub),
                kind="webauthn",
                created_at=time.time(),
                confirmed=True,
                public=registered.authenticator.to_text(),
                mark=registered.mark,
            )
        )

    def _enroll(self, *factors: EnrolledFactor) -> None:
        enrolment = Enrolment(subject=factors[0].subject, factors=factors)
        self.do(lambda store: store.enroll(enrolment, now=time.time()))
