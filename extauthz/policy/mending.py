"""Documents to models, also those that are wrong: what is wrong is told and lost, so that the rest can be judged.

The rule kept here: a mistake is told once, and hides no other one. What the loss of a value leads to (a field that is
missing now, a list that is empty now) is never told; a field that must be there gets a value that stands in for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from extauthz.policy import effect_models, models, named_models, risk_document
from extauthz.policy.problems import WRONG_TYPES, Fault, Path, Problem, faults_of
from extauthz.policy.yaml_nodes import Drop, Edit, Rename, Supply
from extauthz.policy.yaml_source import Document

STAND_INS: Final[Mapping[tuple[type[BaseModel], str], Any]] = {
    (models.PolicyDocument, "apiVersion"): "extauthz/v1",
    (models.PolicyDocument, "kind"): "Policy",
    (models.PolicyDocument, "metadata"): {"name": "unknown"},
    (risk_document.RiskModelDocument, "apiVersion"): "extauthz/v1",
    (risk_document.RiskModelDocument, "kind"): "RiskModel",
    (risk_document.RiskModelDocument, "metadata"): {"name": "unknown"},
    (risk_document.RiskModelSpec, "signals"): {"unknown": {"when": "true", "weight": 1.0, "reason": "unknown"}},
    (risk_document.RiskModelSpec, "levels"): {"unknown": 0.0},
    (risk_document.SignalModel, "when"): "true",
    (risk_document.SignalModel, "weight"): 1.0,
    (risk_document.SignalModel, "reason"): "unknown",
    (models.DefinitionsDocument, "apiVersion"): "extauthz/v1",
    (models.DefinitionsDocument, "kind"): "Definitions",
    (models.DefinitionsDocument, "metadata"): {"name": "unknown"},
    (models.Metadata, "name"): "unknown",
    (models.PolicySpec, "rules"): [{"name": "unknown", "effect": "deny"}],
    (models.Rule, "name"): "unknown",
    (models.Rule, "effect"): "deny",
    (effect_models.ChallengeBlock, "factors"): ["totp"],
    (effect_models.ApproveBlock, "approvers"): {"groups": ["unknown"]},
    (effect_models.AutoModel, "when"): "false",
    (effect_models.AutoModel, "answer"): "deny",
    (effect_models.EscalationModel, "after"): "1s",
    (effect_models.BreakGlassModel, "groups"): ["unknown"],
    (effect_models.BreakGlassModel, "factors"): ["totp"],
    (models.Parameter, "name"): "unknown",
    (models.Parameter, "type"): "dyn",
    (models.DefinedFunction, "body"): "true",
    (named_models.WindowModel, "zone"): "UTC",
    (named_models.WindowModel, "hours"): [{"from": "00:00", "to": "24:00"}],
    (named_models.HoursModel, "from"): "00:00",
    (named_models.HoursModel, "to"): "24:00",
}
"""What stands in for a field that must be there and is not; without one, the mapping around it is lost too."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Mended(Generic[Model]):
    """A model of what could be read, the document without the rest, and what is wrong with it."""

    model: Model
    document: Document
    problems: tuple[Problem, ...] = ()


def read(document: Document, model: type[Model]) -> Mended[Model] | tuple[Problem, ...]:
    """The document, a mapping, as a model; only what is wrong with it if nothing of it can be read.

    A value whose key is misspelt is read as what was meant.
    """
    problems: list[Problem] = []
    renamed: set[Path] = set()
    while True:
        try:
            return Mended(model.model_validate(document.value), document, tuple(problems))
        except ValidationError as error:
            faults = faults_of(error, model, document)
        problems += [fault.problem for fault in faults if not _follows(fault, document, renamed)]
        edits: dict[Path, Edit] = {}
        for fault in faults:
            path, edit = _edit(fault, document)
            if isinstance(edit, Rename):
                target = (*path[:-1], edit.key)
                if target in renamed:
                    edit = Drop()
                renamed.add(target)
            edits.setdefault(path, edit)
        if () in edits:
            return tuple(problems)
        document = document.edited(edits)


def _follows(fault: Fault, document: Document, renamed: set[Path]) -> bool:
    """Whether a fault is only what another one, told already, has led to."""
    path = document.actual(fault.path)
    match fault.kind:
        case "missing":
            return document.is_lost((*document.actual(fault.path[:-1]), fault.path[-1]))
        case "too_short":
            return bool(document.lost(path))
        case _:
            # What a misspelt key seemed to mean takes no value of this kind: it meant something else.
            return fault.kind in WRONG_TYPES and path in renamed


def _edit(fault: Fault, document: Document) -> tuple[Path, Edit]:
    """The edit after which the fault is gone."""
    around, step = document.actual(fault.path[:-1]), fault.path[-1] if fault.path else ""
    match fault.kind:
        case "missing":
            stand_in = None if fault.owner is None else STAND_INS.get((fault.owner, str(step)))
            return (around, Drop()) if stand_in is None else ((*around, step), Supply(stand_in))
        case "extra_forbidden":
            meant = fault.meant and not document.has((*around, fault.meant))
            return (*around, step), Rename(fault.meant) if meant else Drop()
        case _:
            return document.actual(fault.path), Drop()
