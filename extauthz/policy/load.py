"""Policy files to a PolicySet: the one place of this package that reads files.

A directory is read recursively, in the order of the names; of its files those that end in `.yaml` or `.yml`. Names
that start with a dot are skipped: editors keep swap files under them, and Kubernetes the folders behind a ConfigMap.
"""

import errno
import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from extauthz.policy.compile import compile_documents
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import PolicyErrors, Problem
from extauthz.policy.yaml_source import MAX_CHARACTERS, Document, decode, load_documents

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
    declared_headers: frozenset[str] | None = None,
) -> PolicySet:
    """The policies of files and folders, compiled.

    `unpacked` are further files, by the name that problems call them, whose content is at hand: those of bundles.
    `declared_headers` are the lower-case names of the request headers that Envoy sends, `None` if it sends all.

    Raises:
        PolicyErrors: every problem of every file; also when there is no policy at all.
    """
    return load_with_documents(paths, unpacked=unpacked, declared_headers=declared_headers)[1]


@_uncollected()
def load_with_documents(
    paths: Sequence[Path],
    *,
    unpacked: Iterable[tuple[str, bytes]] = (),
    declared_headers: frozenset[str] | None = None,
) -> tuple[list[Document], PolicySet]:
    """The same, with the documents that the policies came from, for who asks where something stands."""
    problems: list[Problem] = []
    documents = read_documents(paths, problems)
    for name, raw in unpacked:
        try:
            documents += load_documents(decode(raw, name), name)
        except PolicyErrors as error:
            problems += error.problems
    try:
        policies = compile_documents(documents, declared_headers=declared_headers)
    except PolicyErrors as error:
        raise PolicyErrors([*problems, *error.problems]) from None
    if not problems and not policies.rules:
        where = ", ".join(map(str, paths)) or "no path"
        problems.append(Problem(file=where, message="no policies found", hint="a file ends in `.yaml` or `.yml`"))
    if problems:
        raise PolicyErrors(problems)
    return documents, policies


@_uncollected()
def load_text(text: str, file: str = "policy.yaml", *, declared_headers: frozenset[str] | None = None) -> PolicySet:
    """The policies of one text, compiled; `file` is what problems call it. Raises `PolicyErrors`."""
    return compile_documents(load_documents(text, file), declared_headers=declared_headers)


def policy_files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files that are read for `paths`; what can't be read is left out."""
    for path in paths:
        yield from _files(path, (), [])


def read_documents(paths: Sequence[Path], problems: list[Problem]) -> list[Document]:
    """Every YAML document of files and folders; what can't be read is told in `problems`."""
    documents: list[Document] = []
    for path in paths:
        for file in _files(path, (), problems):
            try:
                documents += load_documents(decode(_bytes(file), str(file)), str(file))
            except PolicyErrors as error:
                problems += error.problems
            except OSError as error:
                problems.append(_unreadable(file, error))
    return documents


def _bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        content = stream.read(MAX_CHARACTERS + 1)
    if len(content) > MAX_CHARACTERS:
        raise PolicyErrors([Problem(file=str(file), message=f"longer than {MAX_CHARACTERS} bytes", hint="split it")])
    return content


def _files(path: Path, above: tuple[Path, ...], problems: list[Problem]) -> Iterator[Path]:
    """The files to read under `path`; `above` are the real folders that led there."""
    try:
        real = path.resolve(strict=True)
        if real in above:
            problems.append(Problem(file=str(path), message="leads back to a folder above it", hint="remove the link"))
        elif path.is_dir():
            for inner in sorted(path.iterdir()):
                if not inner.name.startswith(".") and (inner.suffix in _SUFFIXES or not inner.is_file()):
                    yield from _files(inner, (*above, real), problems)
        elif path.is_file():
            yield path
        else:
            problems.append(Problem(file=str(path), message="neither a file nor a folder", hint="remove it"))
    except (RuntimeError, OSError) as error:
        # For a loop of links pathlib raises RuntimeError before Python 3.13.
        if isinstance(error, OSError) and error.errno != errno.ELOOP:
            problems.append(_unreadable(path, error))
        else:
            problems.append(Problem(file=str(path), message="a loop of symbolic links", hint="remove the link"))


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem(file=str(path), message=f"can't be read: {(error.strerror or str(error)).lower()}")
