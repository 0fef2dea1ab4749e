"""The `approvals:` block of extauthz.yaml, put together from the blocks of those who act on them.

The rule kept here: what belongs to one part is checked in that part; here is only what concerns several.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from extauthz.approval.config import PersonsSettings
from extauthz.identity.approver_config import ApproverTokensSettings
from extauthz.lookup.approver_login_config import ApproverLoginSettings
from extauthz.stepup.relying_party import https_origin
from extauthz.values.block import Block, distinct


class ApprovalsSettings(Block):
    """`persons` is how people are known; `claims` are the claims of approvers that conditions may read, kept with
    every vote. `url` is the origin of the approvers' pages, as browsers see it, and `login` where approvers log in."""

    persons: PersonsSettings = PersonsSettings()
    claims: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], AfterValidator(distinct)] = ()
    url: Annotated[str, AfterValidator(https_origin)] | None = None
    login: ApproverLoginSettings | None = None
    tokens: ApproverTokensSettings | None = None
    """Without them there are no APIs: everybody answers on the pages."""
