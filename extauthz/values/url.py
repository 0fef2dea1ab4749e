"""The addresses that this server fetches from."""

import ipaddress
from urllib.parse import urlsplit


def fetch_url(text: str) -> str:
    """`text`, if it is a URL that may be fetched: HTTPS, or HTTP within this machine.

    Without a user, a password and a fragment: secrets do not belong into a URL.

    Raises:
        ValueError: it is none; the message says what to write.
    """
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        host = ""
    if not host or url.username is not None or url.fragment:
        raise ValueError("not a URL; write `https://host/path`, without user, password and fragment")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(host)):
        raise ValueError("must be an `https://` URL; `http://` is for loopback addresses only")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
