"""`extauthz policy schema`: the JSON Schema that editors check documents with."""

from extauthz.cli.policy_options import print_json
from extauthz.policy import cases
from extauthz.policy.models import PolicyDocument


def schema() -> None:
    """Print the JSON Schema of policy and test documents."""
    documents = (PolicyDocument, cases.CasesDocument)
    schemas = [model.model_json_schema(ref_template="#/$defs/{model}") for model in documents]
    definitions = {name: part for one in schemas for name, part in one.pop("$defs", {}).items()}
    print_json(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "extauthz policies",
            "oneOf": schemas,
            "$defs": definitions,
        }
    )
