"""What is compiled is what runs, and is of a kind that means the same when it is compiled.

What a compiled module does otherwise than its source, by mypyc's documentation and as seen: it does not look how deep
calls are, so what calls itself could overflow the stack of the process; what a class says beside its bases is ignored,
so a struct would not be frozen; and nobody can put something else in the place of what a module has.
"""

import ast
from collections import OrderedDict
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES

import pytest
from compiled.installed import ROOT, require_compiled

import hatch_build

MODULES = hatch_build.compiled_modules(ROOT)
HAVE_GC = 1 << 14
"""`Py_TPFLAGS_HAVE_GC`."""
SOURCES = {module: ast.parse((ROOT / module).read_text(encoding="utf-8")) for module in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_what_is_compiled_is_what_runs(module: str) -> None:
    require_compiled()
    file = import_module(module.removesuffix(".py").replace("/", ".")).__file__
    assert file is not None
    assert file.endswith(tuple(EXTENSION_SUFFIXES))


OF_CONTAINERS = frozenset(dir(dict) + dir(list) + dir(set) + dir(str) + dir(OrderedDict))

Function = tuple[str, str]
"""A module and a name in it, of a function or of a method of any class."""


def imported(tree: ast.Module) -> dict[str, str]:
    """The files of the modules from which names come."""
    return {
        alias.asname or alias.name: f"{one.module.replace('.', '/')}.py"
        for one in tree.body
        if isinstance(one, ast.ImportFrom) and one.module is not None
        for alias in one.names
    }


def methods(tree: ast.Module) -> set[str]:
    classes = [one for one in ast.walk(tree) if isinstance(one, ast.ClassDef)]
    return {one.name for of in classes for one in of.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


def called(module: str, function: ast.AST) -> set[Function]:
    """What a function may call of what is compiled: by its name, as a method of its own, or as one of anything else."""
    found = set[Function]()
    for call in ast.walk(function):
        match call:
            case ast.Call(func=ast.Name(name)):
                found.add((imported(SOURCES[module]).get(name, module), name))
            case ast.Call(func=ast.Attribute(ast.Name("self"), name)):
                found.add((module, name))
            case ast.Call(func=ast.Attribute(_, name)) if name not in OF_CONTAINERS:
                found |= {(other, name) for other, tree in SOURCES.items() if name in methods(tree)}
    return found


def test_nothing_that_is_compiled_calls_itself() -> None:
    calls: dict[Function, set[Function]] = {}
    for module, tree in SOURCES.items():
        for one in ast.walk(tree):
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                calls.setdefault((module, one.name), set()).update(called(module, one))
    for start in calls:
        reached, left = set[Function](), set(calls[start])
        while left:
            one_called = left.pop()
            if one_called not in reached:
                reached.add(one_called)
                left |= calls.get(one_called, set())
        assert start not in reached, f"{start} calls itself: leave its module out of `compiled` in pyproject.toml"


def test_no_class_that_is_compiled_says_more_than_its_bases() -> None:
    for module, tree in SOURCES.items():
        for one in ast.walk(tree):
            if isinstance(one, ast.ClassDef):
                assert not one.keywords, f"{module}: what {one.name} says would be ignored"


@pytest.mark.parametrize("module", MODULES)
def test_the_search_for_garbage_looks_at_every_class_that_is_compiled(module: str) -> None:
    """mypyc has some that it doesn't look at (`acyclic`): on Python 3.11 what is of one, and ends deep within others,
    overwrites memory.
    """
    require_compiled()
    found = import_module(module.removesuffix(".py").replace("/", "."))
    for one in vars(found).values():
        if isinstance(one, type) and one.__module__ == found.__name__:
            assert one.__flags__ & HAVE_GC, one
