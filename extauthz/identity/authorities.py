"""The X.509 authorities of trust domains, and whether one of them issued a certificate (SPIFFE X509-SVID section 5.1).

The rule: the authorities of a trust domain vouch for its own workloads and for no others.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from extauthz.errors import ConfigurationError, InvalidCredential
from extauthz.identity.certificates import Leaf, Validity
from extauthz.identity.compact import Unreadable, json_object

MAX_INTERMEDIATES = 5
"""As many certificates may stand between an authority and a leaf."""


class Authorities:
    """The authorities by trust domain; `documents` are PEM texts or SPIFFE bundles.

    Raises `ConfigurationError` for a text that is neither.
    """

    def __init__(self, documents: Mapping[str, str]) -> None:
        self._certificates = {domain: _read(text, domain) for domain, text in documents.items()}

    def __contains__(self, trust_domain: str) -> bool:
        return trust_domain in self._certificates

    def verify(
        self, leaf: Leaf, trust_domain: str, intermediates: Sequence[x509.Certificate], *, now: float
    ) -> Validity:
        """While the chain from `leaf` to an authority of `trust_domain` counts, at `now` at least.

        `intermediates` may be anybody's words. Raises `InvalidCredential` if there is no such chain.
        """
        # RFC 5280 section 6, by `cryptography`: names, times, constraints and purposes of the whole path.
        policy = PolicyBuilder().max_chain_depth(MAX_INTERMEDIATES).time(datetime.fromtimestamp(now, UTC))
        authorities = self._certificates[trust_domain]
        if not authorities:  # a bundle may be empty; a store may not
            raise InvalidCredential(f"certificate: the trust domain `{trust_domain}` has no authority any more")
        try:
            verified = (
                policy.store(Store(authorities)).build_client_verifier().verify(leaf.certificate, list(intermediates))
            )
        except VerificationError:
            raise InvalidCredential(
                f"certificate: no chain leads to an authority of its trust domain `{trust_domain}`"
            ) from None
        return Validity(
            starts=max(certificate.not_valid_before_utc.timestamp() for certificate in verified.chain),
            ends=min(certificate.not_valid_after_utc.timestamp() for certificate in verified.chain),
        )


def _read(text: str, domain: str) -> list[x509.Certificate]:
    place = f"authorities of `{domain}`"
    try:
        if text.lstrip().startswith("{"):
            return [x509.load_der_x509_certificate(der) for der in _bundled(json_object(text))]
        return x509.load_pem_x509_certificates(text.encode("utf-8"))
    except Unreadable as error:
        raise ConfigurationError(f"{place}: {error}; expected a SPIFFE bundle or PEM") from None
    except ValueError:
        raise ConfigurationError(f"{place}: a certificate can't be read; expected a SPIFFE bundle or PEM") from None


def _bundled(bundle: Mapping[str, Any]) -> list[bytes]:
    """X509-SVID section 6.2: the first of `x5c`, of each entry for this use."""
    members = bundle.get("keys")
    if not isinstance(members, list):
        raise Unreadable("no `keys`")
    found = []
    for member in members:
        if isinstance(member, dict) and member.get("use") == "x509-svid":
            match member.get("x5c"):
                case [str(first), *_]:
                    found.append(b64decode(first, validate=True))
                case _:
                    pass  # such an entry must be ignored
    return found
