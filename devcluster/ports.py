"""Finds free ports that nobody else will take by chance."""

import secrets
import socket

# Below the kernel's range for outgoing connections (32768 and up) and below Kubernetes' node ports (30000).
LOWEST, HIGHEST = 20000, 29999


def free_ports(count: int) -> list[int]:
    """So many different ports, free on all addresses now, taken at random so that two starts don't meet."""
    found: set[int] = set()
    while len(found) < count:
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST + 1)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
        found.add(port)
    return sorted(found)
