"""Rules for TLS with clients, whose certificates name workloads, of requests and of connections that carry none."""

from collections.abc import Iterator

from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import Http, Tcp
from extauthz.envoy.validate.sockets import is_local, is_plain, takes_untrusted, validations, verifies


@rule(
    "client-certificate-unsaid",
    "warning",
    "Envoy asks for a client's certificate and goes on without one; a later Envoy will refuse who has none",
    "write `require_client_certificate`, `true` or `false`",
)
def client_certificate_unsaid(chain: Http | Tcp) -> Iterator[Hit]:
    if verifies(chain.tls, chain.secrets) and not chain.tls["require_client_certificate"].exists:
        yield chain.tls, ""


@rule(
    "accept-untrusted",
    "error",
    "Envoy takes certificates that nobody has signed: one that its owner has made names any workload",
    "write `trust_chain_verification: VERIFY_TRUST_CHAIN`",
)
def accept_untrusted(chain: Http | Tcp) -> Iterator[Hit]:
    for context in validations(chain.tls, chain.secrets):
        if takes_untrusted(context):
            yield context["trust_chain_verification"], ""


@rule(
    "accept-expired",
    "error",
    "Envoy takes certificates that have ended: a key that was stolen years ago still names its workload",
    "remove `allow_expired_certificate`",
)
def accept_expired(chain: Http | Tcp) -> Iterator[Hit]:
    for context in validations(chain.tls, chain.secrets):
        if context["allow_expired_certificate"].flag():
            yield context["allow_expired_certificate"], ""


@rule(
    "client-certificate-unverified",
    "error",
    "Envoy wants a certificate, and has no authority to verify it by: one that its owner has made gets in, and no"
    " workload is known",
    "write `validation_context: {trusted_ca: …}`",
)
def client_certificate_unverified(chain: Http | Tcp) -> Iterator[Hit]:
    if chain.tls["require_client_certificate"].flag() and not verifies(chain.tls, chain.secrets):
        yield chain.tls["require_client_certificate"], ""


@rule(
    "early-data",
    "warning",
    "who listens on the way can send a request of 0-RTT once more, without any key, and it is allowed once more",
    "write `enable_early_data: false`",
)
def early_data(chain: Http | Tcp) -> Iterator[Hit]:
    quic = chain.chain.at("transport_socket", "typed_config")
    resumed = all(quic[name].flag(default=True) for name in ("enable_early_data", "enable_resumption"))
    if quic["@type"].text.endswith("QuicDownstreamTransport") and resumed:
        yield quic["enable_early_data"], ""


@rule(
    "listener-plaintext",
    "warning",
    "tokens, cookies and codes travel in the clear, and no workload can be known by its certificate",
    "add a `transport_socket` with TLS, unless what stands in front has ended it on this very machine",
)
def listener_plaintext(chain: Http | Tcp) -> Iterator[Hit]:
    addresses = [chain.listener["address"], *(one["address"] for one in chain.listener["additional_addresses"].items)]
    if is_plain(chain.chain) and not all(map(is_local, addresses)):
        yield chain.chain, ""


RULES = (
    client_certificate_unsaid,
    accept_untrusted,
    accept_expired,
    client_certificate_unverified,
    early_data,
    listener_plaintext,
)
