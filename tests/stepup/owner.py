"""Somebody who has a security key and recovery codes, for the tests of proofs and of the pages."""

import asyncio
from typing import Any

from stepup.authenticator import AT, ORIGIN, RP_ID, UP, UV, SoftwareAuthenticator
from stepup.proofs import ALICE, NOW, SESSION, counted_entropy, demand, ring

from extauthz.check.proof.oidc import prove_oidc
from extauthz.check.proof.proving import (
    CodeOutcome,
    ProofOutcome,
    Proving,
)
from extauthz.check.proof.recovery import prove_recovery
from extauthz.check.proof.webauthn import prove_webauthn
from extauthz.stepup.authenticators import USER_HANDLE_BYTES, challenge_of
from extauthz.stepup.keys import SEAL_NONCE_BYTES
from extauthz.stepup.oidc import Authenticated
from extauthz.stepup.recovery import CODE_BYTES, CODES, canonical, digest, make_codes
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.ticket import Action, Ticket
from extauthz.stepup.webauthn import verify_registration
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import EnrolledFactor, Enrolment, SpentTicket
from extauthz.values.decisions import ChallengeDemand
from extauthz.values.grants import Grant

PARTY = RelyingParty(id=RP_ID, origins=(ORIGIN,))
HANDLE = b"h" * USER_HANDLE_BYTES
CODE_LIST = make_codes(bytes(range(CODES * CODE_BYTES)))
KEY_DEMAND = demand(factors=("webauthn",))


def ticket(name: str = "t", *demands: ChallengeDemand) -> Ticket:
    return Ticket(
        id=name * 22,
        subject=ALICE,
        session=SESSION,
        nonce_hash="n" * 43,
        action=Action(method="GET", authority="app.example.com", path="/"),
        return_path="/",
        expires_at=NOW + 300,
        demands=demands or (KEY_DEMAND,),
        credentials=(),
    )


class Person:
    """Somebody with a store to themselves."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.keys = ring()
        self.entropy = counted_entropy()

    def enroll(self, *factors: EnrolledFactor) -> None:
        asyncio.run(self.store.enroll(Enrolment(subject=ALICE, factors=factors), now=NOW))

    def plug_in(self, device: SoftwareAuthenticator) -> None:
        challenge = b"r" * 32
        registered = verify_registration(
            device.register(challenge, flags=UP | UV | AT),
            relying_party=PARTY,
            challenge=challenge,
            user_handle=HANDLE,
            registered=[],
            user_verification="preferred",
        )
        self.enroll(
            self.factor("webauthn", "key", public=registered.authenticator.to_text(), mark=registered.mark),
        )

    def factor(self, kind: Any, id_: str, **fields: Any) -> EnrolledFactor:
        return EnrolledFactor(id=id_, subject=ALICE, kind=kind, created_at=NOW, confirmed=True, **fields)

    def write_down(self) -> None:
        """Alice's recovery codes, sealed as adr/006 says."""
        made = []
        for number, code in enumerate(CODE_LIST):
            spelled = canonical(code)
            assert spelled is not None
            nonce = self.entropy(SEAL_NONCE_BYTES)
            sealed = self.keys.seal(digest(spelled), place=(ALICE.key, str(number)), nonce=nonce)
            made.append(self.factor("recovery", str(number), sealed=sealed))
        self.enroll(*made)

    def proving(self, *demands: ChallengeDemand, asked: Ticket | None = None) -> Proving:
        return Proving(
            store=self.store,
            keys=self.keys,
            subject=ALICE,
            session=SESSION,
            holder="cookie:x",
            credentials=(),
            demands=demands,
            address="198.51.100.7",
            now=NOW,
            entropy=self.entropy,
            ticket=None if asked is None else SpentTicket(id=asked.id, expires_at=asked.expires_at),
        )

    def recover(self, typed: str, *demands: ChallengeDemand) -> CodeOutcome:
        return asyncio.run(prove_recovery(self.proving(*(demands or (demand(factors=("recovery",)),))), typed))

    def assert_key(self, answer: str, asked: Ticket, party: RelyingParty | None = PARTY) -> ProofOutcome:
        proving = self.proving(*asked.demands, asked=asked)
        return asyncio.run(prove_webauthn(proving, answer, ticket=asked, relying_party=party))

    def log_in(self, authenticated: Authenticated, asked: Ticket) -> ProofOutcome:
        return asyncio.run(prove_oidc(self.proving(*asked.demands, asked=asked), authenticated))

    def grants(self) -> tuple[Grant, ...]:
        return asyncio.run(self.store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants


def signed(device: SoftwareAuthenticator, asked: Ticket, *, flags: int = UP | UV) -> str:
    return device.sign_in(challenge_of(asked.id, "webauthn.get"), flags=flags)
