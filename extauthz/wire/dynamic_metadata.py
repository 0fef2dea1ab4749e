"""The dynamic metadata of an answer: Envoy keeps them under the filter's own namespace, for logs and later filters."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.wire.fragments import Holed, struct_entry, text_entry, together, within
from extauthz.wire.sayable import METADATA

_DYNAMIC_METADATA: Final = 4


@lru_cache(maxsize=4096)
def facts_of(word: str, reason: str, rule: str | None, revision: str, size: int) -> Holed:
    """Those of an answer that says this, with a hole for the decision's id of so many bytes."""

    def told(name: str, value: str) -> Holed:
        return text_entry(name, (value.encode(),), size)

    # In the order of the library: a name before another one that it begins with.
    facts = together(
        text_entry("decision_id", (b"", b""), size),
        told("decision", word),
        told("reason", reason),
        told("revision", revision),
        *(() if rule is None else (told("rule", rule),)),
    )
    return within(_DYNAMIC_METADATA, struct_entry(METADATA, facts, size), size)


def beside(facts: bytes, metadata: Mapping[str, Any]) -> bytes:
    """The same with what rules add to them."""
    answer = CheckResponse.FromString(facts)
    answer.dynamic_metadata.update(metadata)
    return answer.SerializeToString(deterministic=True)
