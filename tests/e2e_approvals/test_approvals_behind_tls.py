"""The approvers' pages and their API as browsers and programs reach them: through `envoy/approvals.yaml`."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from e2e import bootstrap
from e2e.stage import START_SECONDS
from e2e_approvals.conftest import ORIGIN, World

from extauthz.cli.quickstart.envoy import Admin, envoy_command, find_envoy

BROWSER = {"host": ORIGIN.removeprefix("https://"), "accept": "text/html"}


@pytest.fixture(scope="module")
def front(world: World) -> Iterator[httpx.Client]:
    """A client of the listener that the file has."""
    folder = Path(tempfile.mkdtemp(prefix="front-"))
    try:
        tree = bootstrap.load("approvals", tls=world.stage.folder, run=folder)
        bootstrap.point(tree, "extauthz_approvals", bootstrap.pipe(world.stage.folder / "approvals.sock"))
        (folder / "envoy.yaml").write_text(yaml.safe_dump(tree))
        command = envoy_command(find_envoy(), folder / "envoy.yaml")
        envoy = world.stage.processes.start("front", command, log=folder / "envoy.log", folder=folder)
        admin = Admin(folder / "approvals-admin.sock")
        envoy.wait_until(admin.ready, seconds=START_SECONDS)
        url = f"https://localhost:{admin.port('approvals')}"
        with httpx.Client(base_url=url, verify=world.stage.context(), timeout=30) as client:
            yield client
    finally:
        shutil.rmtree(folder)


def test_the_pages_answer_by_their_name_and_say_it_to_who_uses_another(front: httpx.Client) -> None:
    page = front.get("/", headers=BROWSER)
    assert (page.status_code, "opened with a link" in page.text) == (403, True)
    elsewhere = front.get("/", headers={"accept": "text/html"})
    assert (elsewhere.status_code, f'href="{ORIGIN}/"' in elsewhere.text) == (421, True)
    told = front.get("/").json()
    assert told["status"] == 421
    assert "programs find the API at `/v1/approvals`" in told["detail"]


def test_programs_answer_and_watch_by_any_name(world: World, front: httpx.Client) -> None:
    headers = world.approver("treasury")
    held = world.stage.client().get("/gate", headers=world.stage.bearer("tessa"))
    (id_,) = held.json()["approvals"]
    with front.stream("GET", "/v1/approvals/events?status=pending", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert any(id_ in line for line in stream.iter_lines())
    assert front.post(f"/v1/approvals/{id_}/approve", headers=headers, json={}).json()["status"] == "approved"
