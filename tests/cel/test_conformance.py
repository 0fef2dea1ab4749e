"""The vectors of the CEL specification, each a test of its own; the result's CEL type counts."""

import os
from typing import Any

import pytest
from cel_support.vectors import FOLDER, canonical, type_of, value_of, vectors

from extauthz import cel

CANNOT_PASS: dict[str, str] = {
    f"parse/bytes_literals/triple_{quotes}_quoted_unescaped_punctuation": (
        "the expected bytes have a backslash that the source has not; the same source as a string expects none"
    )
    for quotes in ("single", "double")
}
"""Vectors that can't pass, by name, each with its reason."""

if not FOLDER.is_dir():
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"no conformance vectors in {FOLDER}", pytrace=False)
    pytest.skip(f"no conformance vectors in {FOLDER}; set CEL_CONFORMANCE_DIR", allow_module_level=True)


def compiled(case: dict[str, Any]) -> cel.Program:
    declared = {name: type_of(written) for name, written in case.get("type_env", {}).items()}
    for name in case.get("bindings", {}):
        declared.setdefault(name, cel.DYN)
    return cel.compile(
        case["expr"],
        variables=declared or None,
        container=case.get("container", ""),
        check=not case.get("disable_check", False),
        macros=not case.get("disable_macros", False),
    )


def result(case: dict[str, Any]) -> Any:
    bindings = {name: value_of(written) for name, written in case.get("bindings", {}).items()}
    return compiled(case)(bindings)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in vectors()])
def test_vector(case: dict[str, Any], request: pytest.FixtureRequest) -> None:
    if (reason := CANNOT_PASS.get(request.node.callspec.id)) is not None:
        pytest.xfail(reason)
    expected = case["expect"]
    if "error" in expected:
        with pytest.raises(cel.CelError):
            result(case)
        return
    if "type" in expected:
        assert compiled(case).result_type == type_of(expected["type"])
    if "value" in expected and not case.get("check_only"):
        assert canonical(result(case)) == canonical(value_of(expected["value"]))
