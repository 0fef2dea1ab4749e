"""What the SDK of OpenTelemetry makes of its variables: the resource, the limits of spans, and who gives ids.

The rule kept here: whatever can't be made of them ends the start with their name.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from extauthz.errors import ConfigurationError
from extauthz.record.span_model import Limits

_GENERATOR: Final = "OTEL_PYTHON_ID_GENERATOR"
_GENERATORS: Final = "opentelemetry_id_generator"


def resource_of(environ: Mapping[str, str], *, version: str) -> Resource:
    """What `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say; a name of our own where they give none."""
    named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    name = {} if named else {"service.name": "extauthz"}
    return Resource.create({**name, "service.version": version})


def limits() -> Limits:
    """What the variables of the limits say.

    Raises:
        ConfigurationError: one of them is no number.
    """
    try:
        found = SpanLimits()
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    return Limits(attributes=found.max_span_attributes, length=found.max_span_attribute_length, links=found.max_links)


def id_generator(environ: Mapping[str, str]) -> IdGenerator:
    """Who makes ids: the SDK's own random ones, unless a package is named that does.

    Raises:
        ConfigurationError: there is none of this name, or it can't be made.
    """
    name = environ.get(_GENERATOR, "").strip() or "random"
    if name == "random":
        return RandomIdGenerator()
    for entry in entry_points(group=_GENERATORS, name=name):
        try:
            made = entry.load()()
        except Exception as error:
            raise ConfigurationError(f"{_GENERATOR}: can't make `{name}`: {type(error).__name__}: {error}") from error
        if isinstance(made, IdGenerator):
            return made
    raise ConfigurationError(f"{_GENERATOR}: no package brings a generator of ids named `{name}`")
