"""Addresses and transport sockets: where something leads, and whether what is sent there can be read on the way."""

from collections.abc import Iterator, Mapping, Sequence

from extauthz.envoy.validate.spots import Spot

_INNER = ("transport_socket", "tls_socket_config")
"""What holds the socket that a wrapper (tap, PROXY protocol, STARTTLS) is around, or its settings."""
_DISCOVERY = ("STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST")
_CONTEXTS = ("downstream_tls_context", "upstream_tls_context")
"""What holds the settings of TLS where it goes over QUIC."""

PINS = ("verify_certificate_spki", "verify_certificate_hash", "custom_validator_config")
"""By which a certificate can be known without a name."""
_AUTHORITIES = ("trusted_ca", "ca_certificate_provider_instance", "system_root_certs", *PINS)
"""By which a certificate can be verified."""


def tls_of(holder: Spot) -> Spot:
    """The settings of the `transport_socket` of a chain or cluster, also where it is wrapped."""
    config = holder.at("transport_socket", "typed_config")
    while any(config[name].exists for name in _INNER):
        inner = config.at("transport_socket", "typed_config")
        config = inner if inner.exists else config["tls_socket_config"]
    return next((config[name] for name in _CONTEXTS if config[name].exists), config)


def names_of_secrets(tls: Spot) -> Sequence[Spot]:
    """Where settings of TLS name the secrets that say how a peer's certificate is verified."""
    common = tls["common_tls_context"]
    places = (common, common["combined_validation_context"])
    return [spot for one in places if (spot := one["validation_context_sds_secret_config"]["name"]).exists]


def validations(tls: Spot, secrets: Mapping[str, Spot]) -> Iterator[Spot]:
    """What says how a peer's certificate is verified, also where it would stand; these `secrets` are known by name."""
    common = tls["common_tls_context"]
    yield common["validation_context"]
    yield common.at("combined_validation_context", "default_validation_context")
    for name in names_of_secrets(tls):
        if name.text in secrets:
            yield secrets[name.text]["validation_context"]


def verifies(tls: Spot, secrets: Mapping[str, Spot]) -> bool:
    """Whether there is anything to verify a certificate by, or that can't be seen."""
    if any(name.text not in secrets for name in names_of_secrets(tls)):
        return True  # it comes over the network
    return any(context[name].exists for context in validations(tls, secrets) for name in _AUTHORITIES)


def takes_untrusted(context: Spot) -> bool:
    """Whether a certificate is taken that nobody has signed."""
    said = context["trust_chain_verification"].one_of(("VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED"))
    return said == "ACCEPT_UNTRUSTED"


def is_plain(holder: Spot) -> bool:
    """Whether a chain or cluster has no `transport_socket`, or one that encrypts nothing."""
    socket = holder["transport_socket"]
    said = tls_of(holder)["@type"].text or socket["name"].text
    return not socket.exists or said.lower().endswith(("rawbuffer", "raw_buffer"))


def addresses(cluster: Spot, discovered: Mapping[str, Spot]) -> Sequence[Spot]:
    """The addresses of its endpoints, which may be among those that are `discovered`, by the name that it has there."""
    assigned = cluster["load_assignment"]
    if discovery(cluster) == "EDS":
        assigned = discovered.get(_name_of_endpoints(cluster), assigned)
    return [
        one.at("endpoint", "address")
        for locality in assigned["endpoints"].items
        for one in locality["lb_endpoints"].items
    ]


def _name_of_endpoints(cluster: Spot) -> str:
    return cluster["eds_cluster_config"]["service_name"].text or cluster["name"].text


def place(address: Spot) -> str:
    """An address as a text that is equal where another leads to the same; empty for what can't be seen."""
    socket = address["socket_address"]
    if socket.exists:
        host = "127.0.0.1" if socket["address"].text in {"0.0.0.0", "localhost"} else socket["address"].text  # noqa: S104 - compared
        return f"{host}:{socket['port_value'].text or socket['named_port'].text}"
    path = address["pipe"]["path"].text
    return f"unix:{path}" if path else ""


def places(cluster: Spot, discovered: Mapping[str, Spot]) -> frozenset[str]:
    """Where a cluster leads."""
    found = {place(address) for address in addresses(cluster, discovered)} - {""}
    if discovery(cluster) == "EDS":
        found.add(f"endpoints `{_name_of_endpoints(cluster)}`")
    return frozenset(found)


def discovery(cluster: Spot) -> str:
    """How its endpoints are found: `EDS`, `ORIGINAL_DST`, ..."""
    return cluster["type"].one_of(_DISCOVERY)


def is_local(address: Spot) -> bool:
    """Whether an address is a Unix socket, inside of Envoy, or of this machine alone."""
    host = address["socket_address"]["address"].text
    return not address["socket_address"].exists or host.startswith("127.") or host in {"::1", "localhost"}
