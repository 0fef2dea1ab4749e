"""Ports of TCP: bound here, or tried before somebody else binds them, who would tell a failure in words of his own."""

import os
import socket

from extauthz.errors import ConfigurationError, failure_of


def bound(address: str, *, key: str, backlog: int = 1) -> socket.socket:
    """A socket that listens on `host:port`, which `key` of the configuration names.

    Raises:
        ConfigurationError: it can't.
    """
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=backlog)
    except OSError as error:
        # Python adds the address to what the system says.
        failure = failure_of(error) if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0).lower()
        raise ConfigurationError(f"{key}: can't listen on `{address}`: {failure}; free it, or name another") from error
