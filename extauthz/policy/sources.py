"""Where rules and variables are written: from `policy/rule` to a place in a file."""

from collections.abc import Iterable

import msgspec

from extauthz.policy.problems import Path
from extauthz.policy.yaml_source import Document


class SourcePlace(msgspec.Struct, frozen=True):
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Sources:
    """The places of what good documents define. A rule is `policy/rule`, a variable `policy/variables.name`."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._names: dict[str, tuple[Document, Path]] = {}
        self._expressions: dict[str, tuple[Document, Path]] = {}
        for document in documents:
            if document.value["kind"] == "Policy":
                self._add(document)

    def _add(self, document: Document) -> None:
        policy, spec = document.value["metadata"]["name"], document.value["spec"]
        for name in spec.get("variables") or ():
            self._expressions[f"{policy}/variables.{name}"] = document, ("spec", "variables", name)
        for number, rule in enumerate(spec["rules"]):
            path: Path = ("spec", "rules", number)
            self._names[f"{policy}/{rule['name']}"] = document, (*path, "name")
            self._expressions[f"{policy}/{rule['name']}"] = document, (*path, "when")

    def of_rule(self, rule: str) -> SourcePlace:
        """Where the rule's name stands."""
        document, path = self._names[rule]
        return SourcePlace(document.file, *document.place(path))

    def in_expression(self, owner: str, line: int, column: int) -> SourcePlace:
        """Where a line and column of a rule's condition, or of a variable, stand in the file."""
        document, path = self._expressions[owner]
        return SourcePlace(document.file, *document.place_in(path, line, column))
