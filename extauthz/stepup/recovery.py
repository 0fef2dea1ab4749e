"""Recovery codes: for whoever has lost every other factor, written on paper, each good once.

The rule: nothing that could make a code again is kept. What is kept is a digest, sealed like the secrets of other
factors (docs/adr/007); a code has one canonical spelling, and what people write instead of it leads there or nowhere.
"""

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

CODES: Final = 10
CODE_BYTES: Final = 10
"""Random bytes of one code: 80 bits, which nobody guesses, with or without the digest."""

# Crockford's base 32: no I, L, O, which look like digits, and no U.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH: Final = CODE_BYTES * 8 // 5
_GROUP: Final = 4
_CODE: Final = re.compile(f"[{_ALPHABET}]{{{_LENGTH}}}")
_MEANT: Final = str.maketrans({"O": "0", "I": "1", "L": "1", " ": "", "-": ""})
_MAX_TYPED: Final = 64


def make_codes(random: bytes) -> tuple[str, ...]:
    """CODES codes as people read them, from CODES times CODE_BYTES random bytes."""
    if len(random) != CODES * CODE_BYTES:
        raise ValueError(f"recovery codes are made of {CODES * CODE_BYTES} random bytes, not {len(random)}")
    return tuple(_spell(random[start : start + CODE_BYTES]) for start in range(0, len(random), CODE_BYTES))


def canonical(typed: str) -> str | None:
    """The one spelling of what somebody has typed, `None` if it can't be a code.

    Blanks, hyphens and case say nothing; `O` is read as `0`, `I` and `L` as `1`.
    """
    # ASCII first: other letters have upper cases that are ASCII.
    if len(typed) > _MAX_TYPED or not typed.isascii():
        return None
    code = typed.upper().translate(_MEANT)
    return code if _CODE.fullmatch(code) is not None else None


def digest(code: str) -> bytes:
    """What is kept of a code in its canonical spelling."""
    return sha256(f"extauthz recovery code {code}".encode("ascii")).digest()


def find(typed: str, kept: Mapping[str, bytes]) -> str | None:
    """The factor whose code this is, of factor ids and the digests that are kept; `None` if it is nobody's.

    Takes the same time whichever fits, or none.
    """
    code = canonical(typed)
    if code is None:
        return None
    given = digest(code)
    found: str | None = None
    for factor, one in kept.items():
        if hmac.compare_digest(given, one):
            found = factor
    return found


def _spell(random: bytes) -> str:
    number = int.from_bytes(random, "big")
    letters = [_ALPHABET[number >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5)]
    return "-".join("".join(letters[start : start + _GROUP]) for start in range(0, _LENGTH, _GROUP))
