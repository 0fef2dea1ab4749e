# ruff: noqa: INP001 (a script beside the files that it compiles)
"""Compiles `proto/` into `extauthz/_pb`; owns everything there but its `__init__.py`.

The compiler writes modules for top-level packages and for protobuf's default pool. Here they live under
`extauthz._pb` and in a pool of their own, so that another package with Envoy's full API can share the process.

    python proto/generate.py [--out DIR]
"""

import argparse
import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import google.rpc  # type: ignore[import-untyped]  # the package has stubs for its modules only
from grpc_tools import protoc  # type: ignore[import-untyped]  # without types

SOURCES = Path(__file__).resolve().parent
PACKAGE = "extauthz._pb"
COMMITTED = SOURCES.parent.joinpath(*PACKAGE.split("."))

# `from envoy.x import y_pb2 as z`; imports of `google` stay, these modules are installed.
OWN_IMPORT = re.compile(r"^from envoy\.", re.MULTILINE)
OWN_MODULE = re.compile(r"\(DESCRIPTOR, '(?=envoy\.|extauthz\.)")
DEFAULT_POOL = "from google.protobuf import descriptor_pool as _descriptor_pool"
OWN_POOL = f"from {PACKAGE} import POOL as _POOL"


def compile_into(out: Path) -> None:
    """Compile every file of `proto/` below `out`, which becomes the content of the package.

    Raises:
        RuntimeError: the compiler refused a file; it has written why to standard error.
    """
    sources = sorted(str(path) for path in SOURCES.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [
            "protoc",
            f"--proto_path={SOURCES}",
            f"--proto_path={Path(google.rpc.__path__[0]).parents[1]}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={scratch}",
            f"--pyi_out={scratch}",
        ]
        if protoc.main([*arguments, *sources]) != 0:
            raise RuntimeError("protoc refused the files above")
        for written in sorted(Path(scratch).rglob("*.py*")):
            target = out / written.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_rehome(written.read_text()))
    for folder in sorted(path for path in out.rglob("*") if path.is_dir() and path.name != "__pycache__"):
        (folder / "__init__.py").write_text("")


def _rehome(code: str) -> str:
    """`code` with the project's own package and pool in place of the compiler's."""
    code = OWN_IMPORT.sub(f"from {PACKAGE}.envoy.", code)
    code = code.replace(DEFAULT_POOL, OWN_POOL).replace("_descriptor_pool.Default()", "_POOL")
    return OWN_MODULE.sub(f"(DESCRIPTOR, '{PACKAGE}.", code)


def main() -> int:
    """Compile into the package, or into another folder to compare."""
    parser = argparse.ArgumentParser(description="compile proto/ into extauthz/_pb")
    parser.add_argument("--out", type=Path, default=COMMITTED, metavar="DIR", help="write here instead")
    compile_into(parser.parse_args().out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
