"""What these tests need beside Python: Envoy, and certificates in the place of those that the files name."""

import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
from e2e.conftest import missing

from extauthz.cli.quickstart.certificates import create_authority
from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError

with warnings.catch_warnings():
    # As the command does: the generated messages make pydantic warn when they are imported.
    warnings.simplefilter("ignore", DeprecationWarning)
    import extauthz.envoy.whole  # noqa: F401 - for what it imports


@pytest.fixture(scope="session")
def envoy_binary() -> Path:
    """The binary; without it these tests are skipped, or fail where everything is required."""
    try:
        return find_envoy()
    except ConfigurationError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all certificates that a written configuration can name."""
    folder = tmp_path_factory.mktemp("tls")
    authority = create_authority(folder / "ca.pem", common_name="test", now=datetime.now(UTC))
    pair = authority.issue_server(folder / "server")
    (folder / "extauthz-ca.pem").write_bytes((folder / "ca.pem").read_bytes())
    (folder / "extauthz-client.pem").write_bytes(pair.certificate.read_bytes())
    (folder / "extauthz-client.key").write_bytes(pair.key.read_bytes())
    return folder
