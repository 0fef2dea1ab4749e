"""Policy files to a PolicySet: the one place of this package that reads files.

A directory is read recursively, in the order of the names; of its files those that end in `.yaml` or `.yml`. Names
that start with a dot are skipped: editors keep swap files under them, and Kubernetes the folders behind a ConfigMap.
A file is read once, whatever leads to it.
"""

import errno
import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from extauthz.errors import failure_of
from extauthz.files import open_file
from extauthz.policy.compile import compile_documents
from extauthz.policy.declared import NOTHING_DECLARED, Declared
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import PolicyErrors, Problem
from extauthz.policy.yaml_source import MAX_CHARACTERS, Document, decode, read_stream

_SUFFIXES = frozenset({".yaml", ".yml"})


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the search for circles: a load makes a million objects that stay, and looking through them again and again
    would be a quarter of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def load(
    paths: Sequence[Path],
    *,
    unpacked: Iterable[tuple[str, bytes]] = (),
    declared: Declared = NOTHING_DECLARED,
) -> PolicySet:
    """The policies of files and folders, compiled.

    `unpacked` are further files, by the name that problems call them, whose content is at hand: those of bundles.
    `declared` is what the configuration says that they may read.

    Raises:
        PolicyErrors: every problem of every file; also when there is no policy at all.
    """
    return load_with_documents(paths, unpacked=unpacked, declared=declared)[1]


@_uncollected()
def load_with_documents(
    paths: Sequence[Path],
    *,
    unpacked: Iterable[tuple[str, bytes]] = (),
    declared: Declared = NOTHING_DECLARED,
    definitions_alone: bool = False,
) -> tuple[list[Document], PolicySet]:
    """The same, with the documents that the policies came from, for who asks where something stands.

    With `definitions_alone`, definitions are enough where there is no policy.
    """
    read = _Read()
    for found in _files(paths):
        read.file(found)
    for name, raw in unpacked:
        read.content(name, raw)
    policies = _compiled(read, declared)
    if not policies.rules and not (definitions_alone and any(map(_is_definitions, read.documents))):
        where = ", ".join(map(str, paths)) or "no path"
        hint = "a policy is a document with `kind: Policy`" if read.any else "a file ends in `.yaml` or `.yml`"
        raise PolicyErrors([Problem(file=where, message="no policies found", hint=hint)])
    return read.documents, policies


@_uncollected()
def load_text(text: str, file: str = "policy.yaml", *, declared: Declared = NOTHING_DECLARED) -> PolicySet:
    """The policies of one text, compiled; `file` is what problems call it. Raises `PolicyErrors`."""
    read = _Read()
    read.text(file, text)
    return _compiled(read, declared)


def policy_files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files that are read for `paths`; what can't be read is left out."""
    return (found for found in _files(paths) if isinstance(found, Path))


def read_documents(paths: Sequence[Path], problems: list[Problem]) -> list[Document]:
    """Every YAML document of files and folders; what can't be read, and what of a document, is told in `problems`."""
    read = _Read()
    for found in _files(paths):
        read.file(found)
    problems += read.problems
    return read.documents


class _Read:
    """The documents of files, and what is wrong with them; `any` is whether there was a file, `whole` whether none is
    missing."""

    def __init__(self) -> None:
        self.any = False
        self.documents: list[Document] = []
        self.problems: list[Problem] = []
        self.whole = True

    def file(self, found: Path | Problem) -> None:
        """Read a file, or note why there is none."""
        if isinstance(found, Problem):
            self._missing(found)
            return
        try:
            content = _bytes(found)
        except OSError as error:
            self._missing(_unreadable(found, error))
            return
        self.content(str(found), content)

    def content(self, name: str, content: bytes) -> None:
        """Read what a file of that name holds."""
        if len(content) > MAX_CHARACTERS:
            self._missing(Problem(file=name, message=f"longer than {MAX_CHARACTERS} bytes", hint="split it"))
            return
        try:
            text = decode(content, name)
        except PolicyErrors as error:
            self._missing(*error.problems)
            return
        self.text(name, text)

    def text(self, name: str, text: str) -> None:
        """Read a text as that of a file of that name."""
        self.any = True
        stream = read_stream(text, name)
        self.documents += stream.documents
        self.problems += stream.problems
        self.whole &= stream.whole

    def _missing(self, *problems: Problem) -> None:
        self.problems += problems
        self.whole = False


def _compiled(read: _Read, declared: Declared) -> PolicySet:
    """What was read, compiled. Raises `PolicyErrors` also for what could not be read."""
    try:
        policies = compile_documents(read.documents, declared=declared, complete=read.whole)
    except PolicyErrors as error:
        raise PolicyErrors([*read.problems, *error.problems]) from None
    if read.problems:
        raise PolicyErrors(read.problems)
    return policies


def _bytes(file: Path) -> bytes:
    """What a file holds; of one that is too long, enough to see that it is."""
    # What was a file when it was found may be a pipe now, to which nobody ever writes.
    with open_file(file) as stream:
        return stream.read(MAX_CHARACTERS + 1)


def _is_definitions(document: Document) -> bool:
    return isinstance(document.value, dict) and document.value.get("kind") == "Definitions"


def _files(paths: Sequence[Path]) -> Iterator[Path | Problem]:
    """The files to read for `paths`, each once, and what stands in the way of others."""
    seen: set[Path] = set()
    for path in paths:
        for found in _under(path, ()):
            if isinstance(found, Path):
                real = found.resolve()
                if real in seen:
                    continue
                seen.add(real)
            yield found


def _under(path: Path, above: tuple[Path, ...]) -> Iterator[Path | Problem]:
    """The files to read under `path`; `above` are the real folders that led there."""
    try:
        real = path.resolve(strict=True)
        if real in above:
            yield Problem(file=str(path), message="leads back to a folder above it", hint="remove the link")
        elif path.is_dir():
            for inner in sorted(path.iterdir()):
                if not inner.name.startswith(".") and (inner.suffix in _SUFFIXES or not inner.is_file()):
                    yield from _under(inner, (*above, real))
        elif path.is_file():
            yield path
        else:
            yield Problem(file=str(path), message="neither a file nor a folder", hint="remove it")
    except (RuntimeError, OSError) as error:
        # For a loop of links pathlib raises RuntimeError before Python 3.13.
        if isinstance(error, OSError) and error.errno != errno.ELOOP:
            yield _unreadable(path, error)
        else:
            yield Problem(file=str(path), message="a loop of symbolic links", hint="remove the link")


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem(file=str(path), message=f"can't be read: {failure_of(error)}")
