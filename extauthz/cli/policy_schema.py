"""`extauthz policy schema`: the JSON Schema that editors check documents with."""

from extauthz.cli.policy_options import print_json
from extauthz.policy.schema import json_schema


def schema() -> None:
    """Print the JSON Schema of policy documents: editors complete their fields by it, and tell what each is."""
    print_json(json_schema())
