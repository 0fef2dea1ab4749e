"""Documents by kind, as models; what of a wrong one can be read is read.

The rule kept here: what can't be read may have defined anything, so that `complete` says whether any of it is missing.
"""

import shlex
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, TypeVar

from extauthz.policy import models
from extauthz.policy.mending import Mended, read
from extauthz.policy.problems import Path, Problem, closest, problem_at
from extauthz.policy.risk_document import RiskModelDocument, RiskModelSpec
from extauthz.policy.yaml_nodes import Supply
from extauthz.policy.yaml_source import Document

API_VERSION: Final = "extauthz/v1"
_FIELDS: Final = frozenset(models.PolicyDocument.model_fields)
_OF_KIND: Final[Mapping[str, AbstractSet[str]]] = {
    "Policy": frozenset(models.PolicySpec.model_fields),
    "RiskModel": frozenset(RiskModelSpec.model_fields),
    "Definitions": frozenset(models.DefinitionsSpec.model_fields),
    "PolicyTest": frozenset({"cases"}),
}
KINDS: Final = tuple(_OF_KIND)
_OF_A_CONFIGURATION: Final = frozenset({"policies", "bundles"})

_WORDS: Final[Mapping[str, str]] = {"Policy": "policy", "RiskModel": "risk model", "Definitions": "definitions"}
_KINDS_TOLD: Final = "`Policy`, `RiskModel`, `Definitions` or `PolicyTest`"

Model = TypeVar("Model", models.PolicyDocument, RiskModelDocument, models.DefinitionsDocument)


class Reading:
    """The documents of a load as far as they can be read, by kind, and what is wrong with all.

    Tests of policies are left to `policy test`. `complete` is whether all definitions that there are have been read,
    `has_all_models` whether all risk models have.
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        self.problems: list[Problem] = []
        self.policies: list[Mended[models.PolicyDocument]] = []
        self.risk_models: list[Mended[RiskModelDocument]] = []
        self.definitions: list[Mended[models.DefinitionsDocument]] = []
        self.complete = self.has_all_models = True
        self._seen: dict[tuple[str, str], str] = {}
        for document in documents:
            self._read(document)

    def _read(self, document: Document) -> None:
        self.problems += document.problems
        value = document.value
        if not isinstance(value, dict):
            self._refuse(document, (), "must be a mapping", "begin with `apiVersion: extauthz/v1`")
            self.complete = self.has_all_models = False
        elif not any(document.has((field,)) for field in _FIELDS):
            self._refuse_foreign(document)
        else:
            self._read_as(self._kind(document), document)

    def _refuse_foreign(self, document: Document) -> None:
        """A mapping with no field of a document: one message, not one for each field."""
        if _OF_A_CONFIGURATION & set(document.keys(())):
            hint = f"to check its policies, run `extauthz policy check --config {shlex.quote(document.file)}`"
            self._refuse(document, (), "a configuration of extauthz, no policy", hint)
        elif not document.problems:
            message = "no document of extauthz: it has neither `apiVersion` nor `kind`, `metadata` or `spec`"
            self._refuse(document, (), message, "begin with `apiVersion: extauthz/v1`")

    def _kind(self, document: Document) -> str:
        """The kind of a document; where it is not written right, the one that is probably meant, or empty."""
        written = document.value.get("kind")
        if written in KINDS:
            return str(written)
        by_fields = _kind_by_fields(document)
        if isinstance(written, str):
            likely = closest(written, KINDS)
            if not likely and document.value.get("apiVersion") == API_VERSION:
                likely = by_fields
            hint = f"did you mean `{likely}`?" if likely else f"write {_KINDS_TOLD}"
            self._refuse(document, ("kind",), f"unknown kind `{written}`", hint)
            return likely
        if "kind" in document.value:
            self._refuse(document, ("kind",), f"must be {_KINDS_TOLD}", "")
        elif by_fields == "PolicyTest" and not document.has(("kind",)):
            self._refuse(document, (), "missing field `kind`", "write `kind: PolicyTest`")
        return by_fields or "Policy"

    def _read_as(self, kind: str, document: Document) -> None:
        if document.has(("kind",)) and document.value.get("kind") != kind:
            document = document.edited({("kind",): Supply(kind)})
        match kind:
            case "Policy":
                policy = self._model(document, models.PolicyDocument)
                if policy is not None:
                    self.policies.append(policy)
            case "RiskModel":
                model = self._model(document, RiskModelDocument)
                if model is None:
                    self.has_all_models = False
                else:
                    self.risk_models.append(model)
                    metadata = ("metadata",), ("metadata", "name")
                    self.has_all_models &= not any(map(model.document.is_lost, metadata))
            case "Definitions":
                definitions = self._model(document, models.DefinitionsDocument)
                if definitions is None:
                    self.complete = False
                else:
                    self.definitions.append(definitions)
                    self.complete &= not definitions.document.lost(("spec",))
            case _:  # tests, and what is none of ours
                pass

    def _model(self, document: Document, of: type[Model]) -> Mended[Model] | None:
        mended = read(document, of)
        if not isinstance(mended, Mended):
            self.problems += mended
            return None
        self.problems += mended.problems
        document = mended.document
        if not (document.is_lost(("metadata",)) or document.is_lost(("metadata", "name"))):
            name, word = mended.model.metadata.name, _WORDS[mended.model.kind]
            place = f"{document.file}:{document.key_place(('metadata', 'name'))[0]}"
            if (first := self._seen.setdefault((word, name), place)) is not place:
                self._refuse(document, ("metadata", "name"), f"the {word} `{name}` exists already", f"see {first}")
        return mended

    def _refuse(self, document: Document, path: Path, message: str, hint: str) -> None:
        self.problems.append(problem_at(document, path, message, hint))


def _kind_by_fields(document: Document) -> str:
    """The kind whose fields a document has; empty if that of none."""
    fields = set(document.keys(("spec",)))
    found = (kind for kind, of_kind in _OF_KIND.items() if fields & of_kind)
    return next(found, "")
