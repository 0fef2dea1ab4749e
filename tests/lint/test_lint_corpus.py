"""Every file of the corpus says in comments what is warned of, and where; a new case is a line or a file.

`# warns: kind, kind` speaks of its own line, `# warns-above: kind` of the line before it. A first line `# configured:
{…}` holds what the configuration lists.
"""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from extauthz.policy import hosts
from extauthz.policy.compile import compile_documents
from extauthz.policy.lint.findings import KINDS, Finding
from extauthz.policy.lint.foreign import Configured
from extauthz.policy.lint.run import lint
from extauthz.policy.lint.telling import Told
from extauthz.policy.yaml_source import load_documents

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.yaml"))
NOW = 1_795_000_000.0
_EXPECTED = re.compile(r"# warns(-above)?: ([a-z, -]+)$")


def findings(text: str, file: str = "policies.yaml") -> tuple[Finding, ...]:
    documents = load_documents(text, file)
    return lint(documents, compile_documents(documents), now=NOW, configured=configured(text))


def configured(text: str) -> Configured:
    first = text.partition("\n")[0]
    if not first.startswith("# configured: "):
        return Configured()
    listed = yaml.safe_load(first.removeprefix("# configured: "))
    return Configured(
        trust_domains=frozenset(listed["trust_domains"]) if "trust_domains" in listed else None,
        hosts=tuple(map(hosts.parse, listed["hosts"])) if "hosts" in listed else None,
        factors=frozenset(listed["factors"]) if "factors" in listed else None,
        touch_every=listed.get("touch_every"),
        is_answered=listed.get("is_answered"),
        approver_factors=frozenset(listed["approver_factors"]) if "approver_factors" in listed else None,
        schedules=frozenset(listed["schedules"]) if "schedules" in listed else None,
        told=tuple(
            Told(pattern=pattern, file="extauthz.yaml", line=1, column=1, source_line=first)
            for pattern in listed.get("told", ())
        ),
    )


def expected(text: str) -> Counter[tuple[int, str]]:
    told: Counter[tuple[int, str]] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _EXPECTED.search(line):
            told.update((number - bool(found[1]), kind.strip()) for kind in found[2].split(","))
    return told


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_the_corpus_is_warned_of_as_its_comments_say(file: Path) -> None:
    text = file.read_text()
    found = findings(text, str(file))
    assert Counter((one.problem.line, one.kind) for one in found) == expected(text)


def test_the_corpus_has_every_kind_of_warning() -> None:
    told = {kind for file in CORPUS for _, kind in expected(file.read_text())}
    assert told == set(KINDS)
