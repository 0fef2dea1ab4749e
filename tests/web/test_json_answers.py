"""What is answered as JSON ends its line, so that a terminal's prompt does not stand behind it."""

import asyncio
from http import HTTPStatus

import httpx
import pytest

from extauthz.web.json_api import Problem
from extauthz.web.metrics import Metrics
from extauthz.web.probes import Readiness, create_probes


@pytest.mark.parametrize("path", ["/live", "/ready"])
def test_what_probes_are_told_ends_its_line(path: str) -> None:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(create_probes(Readiness(), Metrics()))
        async with httpx.AsyncClient(transport=transport, base_url="http://probes") as client:
            return await client.get(path)

    answer = asyncio.run(asked())
    assert answer.text.endswith("}\n")
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_problem_ends_its_line() -> None:
    answer = Problem(HTTPStatus.CONFLICT, "there is one").response
    assert bytes(answer.body).endswith(b'"detail":"there is one"}\n')
