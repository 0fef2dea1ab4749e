"""`extauthz audit schema`: the JSON Schema that readers of the audit are made from."""

from extauthz.cli.policy_options import print_json
from extauthz.record.audit_schema import json_schema


def schema() -> None:
    """Print the JSON Schema of the lines of an audit."""
    print_json(json_schema())
