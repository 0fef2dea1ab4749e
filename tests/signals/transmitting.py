"""A transmitter of security event tokens: its key, its settings, and the tokens that it makes."""

import itertools
import json
import time
from typing import Any

import jwt
from lookup.deciding import SigningKey, key_set, new_key

from extauthz.identity.keys import KeySet
from extauthz.identity.signals.config import TransmitterSettings

TRANSMITTER = "https://ssf.example.com"
AUDIENCE = "https://authz.example.com"
ISSUER, OTHER = "https://idp.example.com", "https://other.example"
SECRET = "a-secret-of-the-transmitter"
KEY = new_key("s1")
IDP = new_key("k1")
"""The key of the issuer of users."""
TOKEN = "the-token-of-operators"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
NOW = 1_800_000_000.0

_numbers = itertools.count(1)


def written(**changed: Any) -> dict[str, Any]:
    """The settings of the transmitter as they are in a file."""
    return {
        "name": "idp",
        "issuer": TRANSMITTER,
        "audiences": [AUDIENCE],
        "jwks": "ssf.json",
        "algorithms": ["ES256"],
        "secret": {"variable": "SSF_SECRET"},
        "about": {"issuers": [ISSUER]},
        **changed,
    }


def transmitter(**changed: Any) -> TransmitterSettings:
    return TransmitterSettings.model_validate(written(**changed))


def keys_of(settings: TransmitterSettings, *keys: SigningKey) -> KeySet:
    return settings.keys.read(key_set(*(keys or (KEY,))))


def iss_sub(sub: str = "alice", issuer: str = ISSUER) -> dict[str, str]:
    return {"format": "iss_sub", "iss": issuer, "sub": sub}


def opaque(id_: str) -> dict[str, str]:
    return {"format": "opaque", "id": id_}


def complex_subject(**members: Any) -> dict[str, Any]:
    return {"format": "complex", **members}


def claims(
    events: dict[str, Any] | None = None, sub_id: Any = None, *, now: float | None = None, **changed: Any
) -> dict[str, Any]:
    """What a good token says; `changed` with a value of `...` leaves a claim out."""
    good = {
        "iss": TRANSMITTER,
        "aud": AUDIENCE,
        "jti": f"t{next(_numbers)}",
        "iat": int(time.time() if now is None else now),
        "sub_id": iss_sub() if sub_id is None else sub_id,
        "events": {RISC + "account-disabled": {}} if events is None else events,
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not ...}


def signed(said: dict[str, Any], *, key: SigningKey = KEY, **header: Any) -> str:
    """A token that says this, whatever it is."""
    return raw(json.dumps(said), header={"alg": "ES256", "kid": key.kid, "typ": "secevent+jwt", **header}, key=key)


def raw(payload: str, *, header: dict[str, Any] | None = None, key: SigningKey = KEY) -> str:
    """A token of this very text, signed."""
    head = header if header is not None else {"alg": "ES256", "kid": key.kid, "typ": "secevent+jwt"}
    parts = [jwt.utils.base64url_encode(part.encode()).decode() for part in (json.dumps(head), payload)]
    signature = jwt.get_algorithm_by_name("ES256").sign(".".join(parts).encode(), key.private)
    return ".".join((*parts, jwt.utils.base64url_encode(signature).decode()))


def event(name: str, **payload: Any) -> dict[str, Any]:
    """One event, of CAEP if its name does not say more."""
    return {name if "/" in name else CAEP + name: payload}
