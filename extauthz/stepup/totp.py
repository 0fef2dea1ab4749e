"""Time-based one-time codes (RFC 6238) as authenticator apps make them: SHA-1, 6 digits, 30 seconds.

The rule: `verify` says which step a code belongs to and nothing more. A proof is made of it only together with
burning that step in the store, because a code is good once (RFC 6238 section 5.2).
"""

import hmac
import re
from base64 import b32encode
from typing import Final

from pyotp import TOTP

STEP_SECONDS: Final = 30
SECRET_BYTES: Final = 20
"""RFC 4226 section 4, R6: the secret should have 160 bits."""

_CODE: Final = re.compile(r"[0-9]{6}")


def is_code(text: str) -> bool:
    """Whether `text` is spelled like a code: six ASCII digits and nothing else, not even a blank."""
    return _CODE.fullmatch(text) is not None


def step_at(now: float) -> int:
    """The step that is current at `now`, in seconds since the epoch (RFC 6238 section 4.2)."""
    return int(now) // STEP_SECONDS


def code_at(secret: bytes, step: int) -> str:
    """The code of `step` for `secret`."""
    return _totp(secret).generate_otp(step)


def verify(secret: bytes, code: str, now: float, *, window: int = 1) -> int | None:
    """The step whose code this is, `None` if there is none within `window` steps around `now`.

    Takes the same time whichever step fits, or none. Where two steps have the same code, the one nearest to `now` is
    meant.
    """
    if not is_code(code):
        return None
    totp, current, given = _totp(secret), step_at(now), code.encode("ascii")
    found: int | None = None
    # The farthest first, so that the nearest is what stays.
    for distance in range(window, -1, -1):
        for step in {current - distance, current + distance}:
            if step >= 0 and hmac.compare_digest(totp.generate_otp(step).encode("ascii"), given):
                found = step
    return found


def provisioning_uri(secret: bytes, *, account: str, issuer: str) -> str:
    """The `otpauth://` address that an authenticator app takes as a QR code.

    `account` and `issuer` are what it shows; half a letter in them, which no address can say, is shown as `?`.
    """
    return _totp(secret).provisioning_uri(name=_sayable(account), issuer_name=_sayable(issuer))


def _sayable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _totp(secret: bytes) -> TOTP:
    return TOTP(b32encode(secret).decode("ascii"), interval=STEP_SECONDS)
