"""From settings to the parts: the one place that reads the files that they name."""

from extauthz.app.key_file import load_or_make_keys
from extauthz.errors import ConfigurationError
from extauthz.files import read_bytes, read_text
from extauthz.identity.resolver import Resolver
from extauthz.identity.workload import WorkloadFiles
from extauthz.policy.attributes import read_attributes
from extauthz.policy.policy_set import PolicySet
from extauthz.settings import Settings
from extauthz.stepup.keys import KeyRing
from extauthz.store.open import file_of, is_shared, open_store
from extauthz.store.protocol import Store
from extauthz.wire.messages import MessageTypes
from extauthz.wire.reading import Reading


def require_audit(policies: PolicySet, settings: Settings) -> None:
    """Raise `ConfigurationError` if a rule requires records and there is no file for them: it would deny everything."""
    requiring = [rule.name for rule in policies.rules if rule.audit_required]
    if requiring and settings.audit is None:
        raise ConfigurationError(f"audit: no `path` is set, but the rule `{requiring[0]}` says `audit: required`")


def make_resolver(settings: Settings) -> Resolver:
    """The identity resolver with what is in files, as they are now. What is fetched comes later.

    Raises:
        ConfigurationError: one of them can't be read or used.
        PolicyErrors: the attributes of workloads are wrong.
    """
    jwks = {name: read_text(path, f"keys of `{name}`") for name, path in settings.jwks_paths.items()}
    return Resolver(settings.identity, settings.client, jwks, _workload_files(settings))


def make_reading(settings: Settings) -> Reading:
    """How requests are read, with the descriptors of gRPC calls as their file is now.

    Raises:
        ConfigurationError: it can't be read or used.
    """
    path = settings.descriptors_path
    messages = None if path is None else MessageTypes.of(read_bytes(path, "descriptors of gRPC calls"), str(path))
    return Reading(accept=settings.paths.accept, buffered=settings.request.buffered, messages=messages)


def _workload_files(settings: Settings) -> WorkloadFiles:
    authorities = {
        domain: read_text(path, f"authorities of `{domain}`") for domain, path in settings.authorities_paths.items()
    }
    path = settings.attributes_path
    attributes = {} if path is None else read_attributes(read_bytes(path, "attributes of workloads"), str(path))
    return WorkloadFiles(authorities=authorities, attributes=attributes)


def open_configured_store(settings: Settings, *, patience: float | None = None) -> Store:
    """The store that the settings name; `patience` as `open_store` has it."""
    return open_store(settings.store, base=settings.base, patience=patience)


def require_store(settings: Settings) -> None:
    """Raise `ConfigurationError` if the store is a file that is not there: opening it would make an empty one."""
    path = file_of(settings.store, base=settings.base)
    if path is not None and not path.is_file():
        raise ConfigurationError(f"{path}: there is no store; `store` in the configuration names its file")


def load_keys(settings: Settings) -> KeyRing:
    """The key ring. An embedded store gets one on first start: it serves this machine alone. A Redis does not.

    Raises:
        ConfigurationError: the file can't be read, made or used.
    """
    return load_or_make_keys(settings.keys_path, shared=is_shared(settings.store))
