"""From settings to the parts: the one place that reads the files that they name."""

from pathlib import Path

from extauthz.app.key_file import load_or_make_keys
from extauthz.check.checker import Ruling
from extauthz.errors import ConfigurationError
from extauthz.identity.resolver import Resolver
from extauthz.policy.load import load
from extauthz.record.audit_file import AuditFile
from extauthz.record.masking import Keep
from extauthz.settings import Settings
from extauthz.stepup.keys import KeyRing
from extauthz.store.open import open_store
from extauthz.store.protocol import Store


def make_ruling(settings: Settings) -> Ruling:
    """What decides: policies and identity sources as their files say now.

    Raises:
        PolicyErrors: a policy has an error.
        ConfigurationError: a file that the settings name can't be read or used.
    """
    policies = load(settings.policy_paths, declared_headers=settings.declared_headers)
    return Ruling(policies=policies, resolver=make_resolver(settings))


def make_resolver(settings: Settings) -> Resolver:
    """The identity resolver with the key sets that the settings name."""
    jwks = {
        source.name: _read(settings.base / source.jwks, f"identity.users: jwks of `{source.name}`")
        for source in settings.identity.users
    }
    return Resolver(settings.identity, settings.client, jwks)


def open_configured_store(settings: Settings) -> Store:
    """The store that the settings name."""
    return open_store(settings.store, base=settings.base)


def open_audit(settings: Settings) -> AuditFile | None:
    """The audit file that the settings name, its writer running; `None` if they name none.

    Raises:
        ConfigurationError: it can't be written.
    """
    audit = settings.audit
    return None if audit is None else AuditFile(settings.base / audit.path, Keep.of(audit.keep))


def load_keys(settings: Settings) -> KeyRing:
    """The key ring. An embedded store gets one on first start: it serves this machine alone.

    Raises:
        ConfigurationError: the file can't be read, made or used.
    """
    return load_or_make_keys(settings.keys_path)


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: can't read the {what}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: the {what} is not UTF-8 text") from error
