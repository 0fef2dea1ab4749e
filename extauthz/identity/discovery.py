"""The metadata that an issuer publishes of itself (OpenID Connect Discovery 1.0, RFC 8414).

The rule: metadata speaks for the issuer whose name it was asked under, to the letter, or it is refused; and it names
no address that the configuration could not have named.
"""

from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from extauthz.errors import ConfigurationError
from extauthz.identity.compact import Unreadable, json_object
from extauthz.values.url import fetch_url

DiscoveryKind = Literal["openid", "oauth"]


def metadata_url(issuer: str, kind: DiscoveryKind) -> str:
    """Where `issuer` publishes its metadata.

    Raises `ValueError` for an issuer that is no URL to fetch from; the message says what to write.
    """
    try:
        fetch_url(issuer)
    except ValueError:
        raise ValueError(f"`issuer` is `{issuer}`, and discovery needs an `https://` URL; name its `jwks`") from None
    url = urlsplit(issuer)
    if "?" in issuer:
        raise ValueError(f"`issuer` is `{issuer}`, and discovery allows no query in it; name its `jwks`")
    path = url.path.removesuffix("/")
    if kind == "openid":  # OpenID Connect Discovery 1.0 section 4.1
        return urlunsplit(url._replace(path=f"{path}/.well-known/openid-configuration"))
    return urlunsplit(url._replace(path=f"/.well-known/oauth-authorization-server{path}"))  # RFC 8414 section 3.1


def endpoint(document: str, member: str, *, issuer: str) -> str:
    """The URL that the metadata in `document` names as `member`, such as `jwks_uri`.

    Raises `ConfigurationError` if it is no metadata of this issuer, or names no address that may be fetched.
    """
    place = f"metadata of `{issuer}`"
    try:
        metadata = json_object(document)
    except Unreadable as error:
        raise ConfigurationError(f"{place}: {error}") from None
    # OpenID Connect Discovery 1.0 section 4.3, RFC 8414 section 3.3: exactly equal, or it is somebody else's.
    if metadata.get("issuer") != issuer:
        raise ConfigurationError(f"{place}: is that of another issuer; `issuer` must be exactly the same")
    url = metadata.get(member)
    if not isinstance(url, str):
        raise ConfigurationError(f"{place}: names no `{member}`")
    try:
        fetch_url(url)
    except ValueError as error:
        raise ConfigurationError(f"{place}: `{member}`: {error}") from None
    # What was fetched safely must not lead to what is not.
    if urlsplit(issuer).scheme == "https" and urlsplit(url).scheme != "https":
        raise ConfigurationError(f"{place}: `{member}`: must be an `https://` URL, as the issuer is")
    return url
