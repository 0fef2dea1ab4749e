"""The rules of a host pattern by path: a trie over segments, at whose nodes those stand whose templates end there."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from extauthz.policy.templates import Capture, Template

Entry = tuple[int, Capture | None]
"""A rule's number, and what its template captures."""
Key = tuple[str, int]
"""A method, `""` for any, and a class of callers."""
Entries = dict[Key, list[Entry]]


@dataclass(slots=True)
class Node:
    """A position in a path: what may follow, what ends here, and what covers everything from here on."""

    literals: dict[str, "Node"] = field(default_factory=dict)
    wildcard: "Node | None" = None
    ends: Entries | None = None
    tails: Entries | None = None

    def child(self, segment: str | None) -> "Node":
        """The node after one more segment, `None` for any."""
        if segment is not None:
            return self.literals.setdefault(segment, Node())
        if self.wildcard is None:
            self.wildcard = Node()
        return self.wildcard

    def entries_of(self, template: Template) -> Entries:
        """The entries of the templates like this one, which leads here."""
        if template.tail:
            self.tails = {} if self.tails is None else self.tails
            return self.tails
        self.ends = {} if self.ends is None else self.ends
        return self.ends


@dataclass(slots=True)
class Host:
    """The rules of one host pattern: those for any path, and the trie of the others."""

    pathless: Entries = field(default_factory=dict)
    root: Node = field(default_factory=Node)

    def add(self, number: int, templates: Sequence[Template], keys: Sequence[Key]) -> None:
        """Take in a rule that stands under these keys."""
        if not templates:
            put(self.pathless, keys, (number, None))
        for template in templates:
            node = self.root
            for segment in template.segments:
                node = node.child(segment)
            put(node.entries_of(template), keys, (number, template.capture))


def put(entries: Entries, keys: Sequence[Key], entry: Entry) -> None:
    """Let a rule stand under these keys."""
    for key in keys:
        entries.setdefault(key, []).append(entry)
