"""The image's stages, as the Dockerfile says them, for the tests that need what comes of them."""

import fcntl
import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest
from deploy.dockerfiles import Builder, Stage, read_dockerfile
from deploy.tools import ROOT

DOCKERFILE = ROOT / "Dockerfile"
ARGUMENTS, STAGES = read_dockerfile(DOCKERFILE)
BY_NAME: Mapping[str, Stage] = {stage.name: stage for stage in STAGES}
_PACKAGES = sysconfig.get_path("purelib")


def packages_of_the_tests() -> dict[str, str]:
    """What is run in place of installing the packages of others; nothing in `make image-steps`, which installs them."""
    if os.environ.get("IMAGE_STEPS"):
        return {}

    def borrow(place: str) -> str:
        """Borrow the packages of the tests, for the Python there."""
        inside = f"import site; open(site.getsitepackages()[0] + '/tests.pth', 'w').write('{_PACKAGES}')"
        return f'{place}/bin/python -c "{inside}"'

    hatchling = '#!/bin/sh\\nexec /opt/build/bin/python -m hatchling \\"\\$@\\"\\n'
    script = f'printf "{hatchling}" > /opt/build/bin/hatchling && chmod +x /opt/build/bin/hatchling'
    borrowed = f"{{ test ! -e /opt/extauthz || {borrow('/opt/extauthz')}; }}"  # what builds has borrowed them already
    return {
        "build.lock": f"{borrow('/opt/build')} && {script}",
        "grpcio.lock": borrowed,
        "pyvoy.lock": borrowed,
    }


def wheel_stage(temporary: pytest.TempPathFactory) -> dict[str, Path]:
    """The stage `wheel` and those before it, carried out by whichever worker needs it first: to compile takes long."""
    base = temporary.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "wheel-stage"
    shared.mkdir(exist_ok=True)
    shared.chmod(0o755)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = shared / "built"
        if not told.exists():
            builder = Builder(BY_NAME, shared, packages_of_the_tests())
            builder.build("wheel")
            told.write_text("\n".join(builder.built))
        return {name: shared / name for name in told.read_text().split()}
