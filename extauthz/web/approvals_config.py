"""The `approvals:` block of extauthz.yaml, put together from the blocks of those who act on them.

The rule kept here: what belongs to one part is checked in that part; here is only what concerns several.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from extauthz.approval.config import PersonsSettings
from extauthz.values.block import Block, distinct


class ApprovalsSettings(Block):
    """`persons` is how people are known; `claims` are the claims of approvers that conditions may read, kept with
    every vote."""

    persons: PersonsSettings = PersonsSettings()
    claims: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], AfterValidator(distinct)] = ()
