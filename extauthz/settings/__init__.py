"""The configuration: one YAML file, every key overridable by an environment variable, read once."""

from extauthz.settings.file import LogSettings, Settings
from extauthz.settings.loading import CONFIG_VARIABLE, load_settings

__all__ = ["CONFIG_VARIABLE", "LogSettings", "Settings", "load_settings"]
