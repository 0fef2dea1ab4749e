"""What a set of documents is known by: a hash of what they mean.

The rule kept here: the order of documents, of rules and of keys changes nothing, nor does a default that is written.
"""

import hashlib
import json
from typing import Any

from extauthz.policy.models import DefinitionsDocument, PolicyDocument
from extauthz.policy.risk_document import RiskModelDocument

Model = PolicyDocument | RiskModelDocument | DefinitionsDocument


def revision_of(*documents: Model) -> str:
    """`sha256:` and the hash of the documents, normalised."""
    normal = sorted(map(_normalised, documents), key=lambda plain: (str(plain["kind"]), str(plain["metadata"]["name"])))
    text = json.dumps(normal, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8")).hexdigest()


def _normalised(model: Model) -> dict[str, Any]:
    """The document without what changes nothing: defaults, and the order of rules."""
    plain = model.model_dump(mode="json", exclude_defaults=True)
    if isinstance(model, PolicyDocument):
        plain["spec"]["rules"].sort(key=lambda rule: str(rule["name"]))
    return plain
