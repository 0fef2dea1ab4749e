"""Programs are freed as they go: a server that replaces ten thousand of them must not stop to search for circles."""

import gc
import weakref

from extauthz import cel


def test_a_program_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        program = cel.compile("[1, 2].exists(x, x == a.b) || c")
        assert program({"a": {"b": 1}}) is True  # `c` is missing: the other way of evaluating was used
        alive = weakref.ref(program.evaluate)
        del program
        assert alive() is None
    finally:
        gc.enable()
