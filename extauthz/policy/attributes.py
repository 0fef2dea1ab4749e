"""`kind: WorkloadAttributes` documents: what the platform knows of workloads, for conditions to ask about.

    apiVersion: extauthz/v1
    kind: WorkloadAttributes
    metadata: {name: production}
    spec:
      workloads:
        "spiffe://prod.example.org/ns/shop/sa/web": {image: "sha256:…", environment: production, build: "4711"}

The rule kept here: one file, one document, and a workload by its whole SPIFFE ID: patterns could overlap, and then two
readers would know two things. Texts only, so that `4711` and `"4711"` are not two builds. JSON is YAML, and may be
written as well.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from extauthz.identity import spiffe
from extauthz.policy.field_types import Block
from extauthz.policy.models import Metadata, VersionedDocument
from extauthz.policy.problems import PolicyErrors, Problem, problem_at, problems_of
from extauthz.policy.yaml_source import decode, load_documents


def _workload(text: str) -> str:
    if spiffe.parse(text, verified_by="") is None:
        raise ValueError(f"`{text}` is not a SPIFFE ID; write the whole one, without `*`")
    return text


AttributeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
AttributeValue = Annotated[str, Field(min_length=1, max_length=1024)]


class AttributesSpec(Block):
    """What is known, by SPIFFE ID; a workload that is listed with nothing is known, without attributes."""

    workloads: dict[Annotated[str, AfterValidator(_workload)], dict[AttributeName, AttributeValue]]
    """What is known of workloads, by their whole SPIFFE IDs: attributes by name, read as `workload.attributes`. Of one
    that is not listed nothing is known."""


class AttributesDocument(VersionedDocument):
    """A document of `kind: WorkloadAttributes`."""

    kind: Literal["WorkloadAttributes"]
    """Says that the document tells what the platform knows of workloads."""
    metadata: Metadata
    """The document's name, which nothing refers to."""
    spec: AttributesSpec
    """What is known."""


def read_attributes(content: bytes, file: str) -> Mapping[str, Mapping[str, str]]:
    """The attributes in the content of a file, by SPIFFE ID.

    Raises:
        PolicyErrors: it is no such file; every problem with its place.
    """
    documents = load_documents(decode(content, file), file)
    if len(documents) != 1:
        hint = "write one, of `kind: WorkloadAttributes`"
        raise PolicyErrors([Problem(file=file, message=f"holds {len(documents)} documents", hint=hint)])
    (document,) = documents
    if not isinstance(document.value, dict):
        raise PolicyErrors([problem_at(document, (), "must be a mapping", "begin with `apiVersion: extauthz/v1`")])
    try:
        model = AttributesDocument.model_validate(document.value)
    except ValidationError as error:
        raise PolicyErrors(problems_of(error, AttributesDocument, document)) from None
    return {workload: MappingProxyType(attributes) for workload, attributes in model.spec.workloads.items()}
