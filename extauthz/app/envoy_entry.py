"""What pyvoy imports in Envoy's process. The rule: importing it does nothing, and takes no time."""

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from extauthz.app.in_envoy import Carry


def __getattr__(name: str) -> "Carry":
    """`application`, when pyvoy asks for it."""
    if name != "application":
        raise AttributeError(name)
    gc.disable()  # what is imported stays
    try:
        from extauthz.app.in_envoy import application_of_this_process
        from extauthz.app.pace import settle

        application = application_of_this_process()
        settle()
        return application
    finally:
        gc.enable()
