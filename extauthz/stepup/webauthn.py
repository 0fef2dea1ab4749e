"""Security keys and passkeys (Web Authentication, W3C): what a browser is asked, and what its answer proves.

The rule: an answer proves something only for this challenge, this origin, this subject's own credential and a user who
was there; each of these has a reason of its own, and whatever else is odd is `malformed`. That a challenge serves once
is for whoever made it: it is bound to a ticket that the store burns.

Importing this takes 15 MB, so nobody does who has no relying party; `web.offers.Means` with one does at start.
"""

from collections.abc import Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json_dict,
    parse_attestation_object,
    parse_authenticator_data,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import InvalidAuthenticationResponse
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticationCredential,
    AuthenticatorAssertionResponse,
    AuthenticatorAttestationResponse,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from extauthz.stepup.authenticators import Asserted, Authenticator, KnownAuthenticator, Registered, known_transports
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.webauthn_answer import (
    NotVerified,
    check_presence,
    decode,
    encode,
    read_client_data,
    read_credential,
    text_member,
)
from extauthz.values.decisions import UserVerification

TIMEOUT_MS: Final = 300_000
"""Milliseconds that a browser gives its user; as long as a ticket lives."""

_MAX_CREDENTIAL_ID: Final = 1023  # Web Authentication section 4, "credential ID"
_SMALLEST_RSA: Final = 2048
_ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
# Where none is asked for, browsers send none, or what an authenticator says of itself (section 5.4.7).
_ATTESTATIONS: Final = ("none", "packed")


def registration_options(
    relying_party: RelyingParty,
    *,
    user_name: str,
    user_handle: bytes,
    challenge: bytes,
    registered: Sequence[Authenticator],
    user_verification: UserVerification,
) -> dict[str, Any]:
    """What `navigator.credentials.create` is given, as JSON (section 5.1.8).

    `user_handle` are USER_HANDLE_BYTES random bytes for a subject without an authenticator, else those that its
    `registered` ones have. None of these is registered twice.
    """
    options = generate_registration_options(
        rp_id=relying_party.id,
        rp_name=relying_party.name,
        user_id=user_handle,
        user_name=user_name,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED,
            require_resident_key=False,
            user_verification=UserVerificationRequirement(user_verification),
        ),
        exclude_credentials=[_descriptor(one) for one in registered],
        supported_pub_key_algs=_ALGORITHMS,
    )
    return options_to_json_dict(options)


def assertion_options(
    relying_party: RelyingParty,
    *,
    challenge: bytes,
    registered: Sequence[Authenticator],
    user_verification: UserVerification,
) -> dict[str, Any]:
    """What `navigator.credentials.get` is given, as JSON (section 5.1.9)."""
    options = generate_authentication_options(
        rp_id=relying_party.id,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        allow_credentials=[_descriptor(one) for one in registered],
        user_verification=UserVerificationRequirement(user_verification),
    )
    return options_to_json_dict(options)


def verify_registration(
    answer: str,
    *,
    relying_party: RelyingParty,
    challenge: bytes,
    user_handle: bytes,
    registered: Sequence[Authenticator],
    user_verification: UserVerification,
) -> Registered:
    """The authenticator that the JSON of a `RegistrationResponseJSON` brings (section 7.1).

    The arguments are those of `registration_options`.

    Raises:
        NotVerified: it brings none.
    """
    credential_id, response = read_credential(answer)
    client_data = read_client_data(response, "webauthn.create", challenge, relying_party)
    attestation_object = decode(text_member(response, "attestationObject"))
    try:
        attestation = parse_attestation_object(attestation_object)
    except Exception as error:  # whatever the parser dislikes, it is no attestation
        raise NotVerified("malformed", f"attestation object: {error}") from error
    check_presence(attestation.auth_data, relying_party, user_verification)
    # Section 7.1, step 24: the id is that of the attested credential, or the store would keep another one's.
    attested = attestation.auth_data.attested_credential_data
    if attested is None or attested.credential_id != credential_id or not 0 < len(credential_id) <= _MAX_CREDENTIAL_ID:
        raise NotVerified("malformed", "no credential, another one's id, or one that is too long")
    _require_usable(attested.credential_public_key)
    if any(one.credential_id == credential_id for one in registered):
        raise NotVerified("already-registered")
    if attestation.fmt not in _ATTESTATIONS:
        raise NotVerified("unsupported-attestation", "it was not asked for")
    credential = RegistrationCredential(
        id=encode(credential_id),
        raw_id=credential_id,
        response=AuthenticatorAttestationResponse(client_data_json=client_data, attestation_object=attestation_object),
    )
    try:
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=relying_party.id,
            expected_origin=list(relying_party.origins),
            require_user_verification=user_verification == "required",
            supported_pub_key_algs=_ALGORITHMS,
        )
    except Exception as error:  # the library has many exceptions, and those of what it rests on
        raise NotVerified("unsupported-attestation", str(error)) from error
    transports = response.get("transports")
    return Registered(
        authenticator=Authenticator(
            credential_id=credential_id,
            public_key=verified.credential_public_key,
            user_handle=user_handle,
            transports=known_transports(transports if isinstance(transports, list) else []),
        ),
        mark=verified.sign_count,
        user_verified=verified.user_verified,
    )


def verify_assertion(
    answer: str,
    *,
    relying_party: RelyingParty,
    challenge: bytes,
    known: Sequence[KnownAuthenticator],
    user_verification: UserVerification,
) -> Asserted:
    """What the JSON of an `AuthenticationResponseJSON` proves (section 7.2); `known` are the subject's authenticators.

    Raises:
        NotVerified: nothing.
    """
    credential_id, response = read_credential(answer)
    # Steps 5 to 7: the credential is one of this subject's, and so is the account that the authenticator knows it by.
    found = next((one for one in known if one.authenticator.credential_id == credential_id), None)
    if found is None:
        raise NotVerified("unknown-credential")
    handle = response.get("userHandle")
    if handle is not None and decode(text_member(response, "userHandle")) != found.authenticator.user_handle:
        raise NotVerified("unknown-credential", "it is another user's there")
    client_data = read_client_data(response, "webauthn.get", challenge, relying_party)
    raw = decode(text_member(response, "authenticatorData"))
    try:
        parsed = parse_authenticator_data(raw)
    except Exception as error:  # whatever the parser dislikes, it is no authenticator data
        raise NotVerified("malformed", f"authenticator data: {error}") from error
    check_presence(parsed, relying_party, user_verification)
    credential = AuthenticationCredential(
        id=encode(credential_id),
        raw_id=credential_id,
        response=AuthenticatorAssertionResponse(
            client_data_json=client_data,
            authenticator_data=raw,
            signature=decode(text_member(response, "signature")),
        ),
    )
    try:
        verified = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=relying_party.id,
            expected_origin=list(relying_party.origins),
            credential_public_key=found.authenticator.public_key,
            credential_current_sign_count=0,  # the counter is looked at below, and burned by the store
            require_user_verification=user_verification == "required",
        )
    except InvalidAuthenticationResponse as error:
        raise NotVerified("bad-signature", str(error)) from error
    except Exception as error:  # the library has many exceptions, and those of what it rests on
        raise NotVerified("malformed", str(error)) from error
    # Step 22, after the signature: only the authenticator itself can say that it was cloned.
    count = verified.new_sign_count
    if count == 0 and found.mark <= 0:
        return Asserted(factor=found.factor, mark=None, user_verified=verified.user_verified)
    if count <= found.mark:
        raise NotVerified("counter-not-advanced", f"{count} after {found.mark}: it may have been cloned")
    return Asserted(factor=found.factor, mark=count, user_verified=verified.user_verified)


def _require_usable(public_key: bytes) -> None:
    """A key that no signature could be verified with would lock its user out, a short one let others in."""
    try:
        decoded = decode_credential_public_key(public_key)
        key = decoded_public_key_to_cryptography(decoded)
    except Exception as error:  # a point that is on no curve, a missing number, whatever
        raise NotVerified("unsupported-key", str(error)) from error
    if decoded.alg not in _ALGORITHMS:
        raise NotVerified("unsupported-key", f"the algorithm {decoded.alg}")
    if isinstance(key, RSAPublicKey) and key.key_size < _SMALLEST_RSA:
        raise NotVerified("unsupported-key", f"an RSA key of {key.key_size} bits")


def _descriptor(authenticator: Authenticator) -> PublicKeyCredentialDescriptor:
    transports = [AuthenticatorTransport(one) for one in authenticator.transports]
    return PublicKeyCredentialDescriptor(id=authenticator.credential_id, transports=transports or None)
