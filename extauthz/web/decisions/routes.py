"""The addresses of the pages for operators."""

from starlette.routing import Route

from extauthz.web.approvers.desk import Desk
from extauthz.web.decisions.looking import DECISIONS_PATH, Looking
from extauthz.web.decisions.one import OneDecision
from extauthz.web.decisions.table import Table


def decision_routes(desk: Desk, looking: Looking) -> list[Route]:
    """The list, each decision, and a draft tried on one."""
    one = OneDecision(desk=desk, looking=looking)
    return [
        Route(DECISIONS_PATH, Table(desk=desk, looking=looking).serve, methods=["GET"]),
        Route(f"{DECISIONS_PATH}/{{id}}", one.serve, methods=["GET"]),
        Route(f"{DECISIONS_PATH}/{{id}}/try", one.try_draft, methods=["POST"]),
    ]
