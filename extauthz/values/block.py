"""The base of everything that is read from a YAML mapping: policies, tests of policies, and settings.

The rule: a key that nobody knows is an error, and so is one without a value. `workloads:` with nothing behind it must
not mean "any workload".
"""

from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator


class Block(BaseModel):
    """A mapping. `nullable` are the fields for which a written `null` means something."""

    # Most blocks are read only as a part of others: to build each for itself, too, would be a tenth of a start.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    nullable: ClassVar[frozenset[str]] = frozenset()

    @field_validator("*", mode="before")
    @classmethod
    def _has_a_value(cls, value: object, info: ValidationInfo) -> object:
        return value if info.field_name in cls.nullable else with_a_value(value)


def with_a_value(value: object) -> object:
    """`value`, unless it is the `None` of a key without one.

    Raises:
        ValueError: it is; the message says what to do.
    """
    if value is None:
        raise ValueError("must not be empty; remove the field, or fill it")
    return value


def _switch(value: object) -> object:
    # YAML 1.2 knows two words for these, and `yes` is text; the environment has text only.
    if isinstance(value, bool) or value in ("true", "false"):
        return value
    raise ValueError("must be `true` or `false`")


def _count(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - what pydantic expects of a validator
    return value


Switch = Annotated[bool, BeforeValidator(_switch)]
"""True or false, and nothing that only looks like it."""
Count = Annotated[int, BeforeValidator(_count)]
"""A whole number; `true` is none."""


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """The values, if each is there once.

    Raises:
        ValueError: one is listed twice.
    """
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"`{value}` is listed twice")
    return values
