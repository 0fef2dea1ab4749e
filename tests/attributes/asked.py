"""What is asked of attribute sources over HTTP, and a page that answers."""

import json
from typing import Any

from publishing import Page

PATH = "/users/alice"
GOLD = {"tier": "gold", "limit": 5000, "secret": "not declared"}


def page(body: object = GOLD, **more: Any) -> Page:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return Page(body=text, headers={"content-type": "application/json"}, **more)
