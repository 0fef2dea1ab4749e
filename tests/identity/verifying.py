"""Tokens of one issuer, and a verifier that knows it."""

from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer

from extauthz.identity.claims import VerifiedToken
from extauthz.identity.config import IdentitySettings
from extauthz.identity.tokens import Verifier

PLACE = "authorization"
EVERY_ALGORITHM = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]


def verifier(issuer: Issuer, jwks: str | None = None, **changes: object) -> Verifier:
    source = {
        "name": "idp",
        "issuer": ISSUER,
        "audiences": [AUDIENCE, "other"],
        "jwks": "jwks.json",
        "algorithms": EVERY_ALGORITHM,
        "from": ["authorization", "cookie:session"],
        **changes,
    }
    settings = IdentitySettings.model_validate({"users": [source]})
    return Verifier(settings.users, {"idp": issuer.jwks if jwks is None else jwks})


def known(tokens: Verifier, token: str, *, place: str = PLACE, now: float = NOW) -> VerifiedToken:
    """The token, which is known without asking anybody."""
    verified = tokens.verify(token, place=place, now=now)
    assert isinstance(verified, VerifiedToken)
    return verified


def verify(issuer: Issuer, token: str, now: float = NOW) -> VerifiedToken:
    return known(verifier(issuer), token, now=now)
