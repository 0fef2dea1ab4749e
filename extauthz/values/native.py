"""What mypyc is told of what it compiles; it means nothing to whoever runs the source.

An `i64` is an `int` that counts bytes: beyond 64 bits it would not be what it is.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import i64 as i64
else:
    i64 = int
