"""What the platform knows of a workload is known of that one, however it was found, and of no other."""

from collections.abc import Mapping
from typing import Any

import pytest
from identity.checks import build_request
from identity.issuer import NOW, Issuer
from identity.workload_tokens import ADMIN, BUNDLE_NAME, HEADER, SVIDS, WEB, bundle, svid

from extauthz.identity.workload import WorkloadFiles, Workloads
from extauthz.identity.workload_config import WorkloadSettings

BUILD = {"environment": "production", "build": "4711"}
FILES = WorkloadFiles(attributes={WEB: BUILD})


def attributes(issuer: Issuer, **sent: Any) -> Mapping[str, str] | None:
    workloads = Workloads(WorkloadSettings.model_validate(SVIDS), {BUNDLE_NAME: bundle(issuer)}, FILES)
    found = [workloads.read(build_request(**sent), now=NOW).workload for _ in range(2)]  # the second time remembered
    assert found[0] is not None
    assert found[0] == found[1]
    return found[0].attributes


@pytest.mark.parametrize(("workload", "known"), [(WEB, BUILD), (ADMIN, None), (WEB + "2", None)])
def test_a_workload_has_its_own_attributes_whatever_names_it(
    issuer: Issuer, workload: str, known: Mapping[str, str] | None
) -> None:
    token = {HEADER: svid(issuer, sub=workload)}
    assert attributes(issuer, principal=workload) == known
    assert attributes(issuer, headers=token) == known
    assert attributes(issuer, principal=workload, headers=token) == known


def test_what_a_token_says_is_no_attribute(issuer: Issuer) -> None:
    assert (
        attributes(
            issuer, headers={HEADER: svid(issuer, sub=ADMIN, attributes=BUILD, environment="production", build="4711")}
        )
        is None
    )
