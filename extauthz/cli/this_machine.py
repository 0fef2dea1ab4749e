"""Whether an address is on this machine, where what is sent in the clear is read by nobody else."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_here(host: str) -> bool:
    """Whether this is a loopback address, or `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reaches_here(address: str) -> bool:
    """Whether `host:port`, a URL of one or `unix:/path` is here; who listens on all addresses is asked on loopback."""
    if address.startswith("unix:"):
        return True
    host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    return host in ("0.0.0.0", "::") or is_here(host)  # noqa: S104 - compared, not bound
