"""Whatever stands where something else should, the judgement ends: in findings, or in one line."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.envoy.validate.configured_rules import Configured
from extauthz.envoy.validate.reading import UnreadableEnvoy
from extauthz.envoy.validate.run import validate

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.yaml"))
ODD: tuple[Any, ...] = (None, 0, -1, 1e30, "1e999", "inf", "nan", True, "", "x", [], {}, [1], [[]], {"@type": "x"})
EXPECTED = Configured(
    trusted_hops=1,
    headers=frozenset({"x-tier"}),
    buffered=True,
    accepted=frozenset({"dot_segment", "empty_segment", "encoded_slash"}),
    port=1,
    held_at_once=1_000_000,
    longest_hold=20.0,
    namespaces=frozenset({"envoy.filters.http.jwt_authn"}),
    certificate="peer_certificate",
    xfcc_proves=True,
    xfcc_only_one=True,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield (*above, name)
        yield from places(part, (*above, name))


@pytest.mark.parametrize("seed", range(3))
def test_an_odd_value_anywhere_ends_in_findings_or_in_one_line(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    judged = 0
    for _ in range(25):
        tree = yaml.safe_load(chance.choice(SAMPLES).read_text())
        for _ in range(chance.randint(1, 3)):
            *above, last = chance.choice(list(places(tree)))
            inner = tree
            for step in above:
                inner = inner[step]
            inner[last] = copy.deepcopy(chance.choice(ODD))
        try:
            judged += bool(validate([("envoy.yaml", yaml.safe_dump(tree))], EXPECTED))
        except UnreadableEnvoy as error:
            assert "\n" not in str(error)  # noqa: PT017 - not to be raised is as good
    assert judged > 10


@pytest.mark.parametrize("written", ["1e999", ".inf", '"inf"', '"nan"', "99999999999999999999999999", "[]", "{}"])
def test_a_number_that_is_none_is_as_if_unset(written: str) -> None:
    text = (SAMPLES[0].parent / "good.yaml").read_text()
    text = text.replace(
        "use_remote_address: true", f"use_remote_address: true\n                xff_num_trusted_hops: {written}"
    )
    text = text.replace("forward_client_cert_details: SANITIZE_SET", f"forward_client_cert_details: {written}")
    validate([("envoy.yaml", text)], Configured())
