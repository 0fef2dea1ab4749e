"""The encoders extension."""

import base64
import binascii

from extauthz.cel.errors import EvalError
from extauthz.cel.functions import Function, Overload
from extauthz.cel.limits import Limits
from extauthz.cel.types import BYTES, STRING


def _decode(text: str) -> bytes:
    """Base64 (RFC 4648 section 4), with its padding or without."""
    try:
        return base64.b64decode(text if text.endswith("=") else text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise EvalError("the text is no base64") from None


def functions(limits: Limits) -> list[Function]:
    """The functions of the namespace `base64`."""

    def encode(value: bytes) -> str:
        if len(value) * 4 > limits.string_length * 3:
            raise EvalError("the string is longer than the limits allow")
        return base64.b64encode(value).decode()

    return [
        Function("base64.encode", [Overload("base64_encode", (BYTES,), STRING, encode)]),
        Function("base64.decode", [Overload("base64_decode", (STRING,), BYTES, _decode)]),
    ]
