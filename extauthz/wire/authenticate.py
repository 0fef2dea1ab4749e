"""`WWW-Authenticate`: what a 401 says of how to authenticate (RFC 9110 section 11.6.1).

The rule: only schemes that the configuration takes are named, and what was wrong is told of the scheme that was used
(RFC 6750 section 3, RFC 9449 sections 7.1 and 7.2). Nothing is wrong with a token that nobody has sent.
"""

import re
from typing import Final

from extauthz.errors import OAuthError
from extauthz.values.decisions import Challenge
from extauthz.values.request import RequestView
from extauthz.values.schemes import Scheme, Schemes
from extauthz.wire.wording import detail

NAME: Final = "www-authenticate"

_SENT: Final = re.compile(r"[ \t]*(?:(bearer)|dpop)(?=[ \t]|\Z)", re.IGNORECASE)


def sent_scheme(request: RequestView | None) -> Scheme | None:
    """The scheme of the token in the Authorization header; `None` for every other credential, and for none."""
    sent = request.http.header("authorization") if request is not None and request.http is not None else None
    found = None if sent is None else _SENT.match(sent)
    if found is None:
        return None
    return "DPoP" if found[1] is None else "Bearer"


def unauthenticated(schemes: Schemes, *, error: OAuthError | None, sent: Scheme | None) -> tuple[tuple[str, str], ...]:
    """The header of a 401: a challenge for each scheme, and none where there is no scheme to name.

    `error` is what was wrong with the token that was sent; `sent` is the scheme of the request's own token.
    """
    named = _named(schemes)
    if not named:
        return ()
    told = sent if sent in named else named[0]
    errors = () if error is None else (f'error="{error}"',)
    return ((NAME, ", ".join(_challenge(one, schemes, *(errors if one == told else ())) for one in named)),)


def insufficient(challenge: Challenge, schemes: Schemes, *, sent: Scheme | None) -> tuple[str, str]:
    """The step-up challenge of RFC 9470 section 3, in the scheme that was used."""
    parameters = [
        'error="insufficient_user_authentication"',
        f'error_description="{detail("proof-required", 401)}"',
    ]
    if values := acr_values(challenge):
        parameters.append(f"acr_values={_quoted(values)}")
    parameters.append(f'max_age="{max_age(challenge)}"')
    scheme: Scheme = "DPoP" if sent == "DPoP" and schemes.proof_algorithms else "Bearer"
    return NAME, _challenge(scheme, schemes, *parameters)


def max_age(challenge: Challenge) -> int:
    """The age in seconds that satisfies every demand."""
    return int(min(demand.max_age for demand in challenge.demands))


def acr_values(challenge: Challenge) -> str:
    """The authentication contexts that the demands name, apart by blanks."""
    return " ".join(dict.fromkeys(demand.acr for demand in challenge.demands if demand.acr))


def _named(schemes: Schemes) -> tuple[Scheme, ...]:
    bearer: tuple[Scheme, ...] = ("Bearer",) if schemes.bearer else ()
    return (*bearer, "DPoP") if schemes.proof_algorithms else bearer


def _challenge(scheme: Scheme, schemes: Schemes, *parameters: str) -> str:
    if scheme == "DPoP":
        parameters = (*parameters, f'algs="{" ".join(schemes.proof_algorithms)}"')
    return f"{scheme} {', '.join(parameters)}" if parameters else scheme


def _quoted(text: str) -> str:
    """A quoted-string (RFC 9110 section 5.6.4)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
