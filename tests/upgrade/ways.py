"""Which versions a test takes: a few of them each time, some more where long tests are run, and all if that is asked.

In the environment `UPGRADES` asks for all.
"""

import os
from collections.abc import Sequence
from typing import Any

import pytest


def ways(short: Sequence[Any], *, long: Sequence[Any], every: Sequence[Any] = ()) -> list[Any]:
    """The parameters of a test, named by their versions; what is not among `short` is marked as long."""
    taken = every if every and "UPGRADES" in os.environ else (*short, *long)
    return [_way(one, is_long=one not in short) for one in taken]


def _way(one: Any, *, is_long: bool) -> Any:
    values = one if isinstance(one, tuple) else (one,)
    name = "-".join(value if isinstance(value, str) else value.name for value in values)
    return pytest.param(*values, id=name, marks=[pytest.mark.long] if is_long else [])
