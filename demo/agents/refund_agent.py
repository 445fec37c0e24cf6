"""Calls the orders API with the X.509-SVID in a folder: refund_agent.py HOST:PORT [FOLDER].

Prints the answer; the exit code is 0 only where it was a 200.

Standard library only. It checks the server's SPIFFE ID as the server checks its own.
"""

import os
import re
import socket
import ssl
import sys
from pathlib import Path

SERVER = re.compile(r"spiffe://[^/]+/ns/support/agent/orders-api/task/[0-9a-f-]{36}")


def call(address: str, folder: Path) -> str:
    """Return the server's answer.

    Raises:
        ssl.SSLError: The server refused the certificate, or its own is not good.
        OSError: There was no connection, or a file is not there.
    """
    tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(folder / "ca.crt"))
    tls.check_hostname = False  # a SPIFFE ID is checked instead of a host name
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=5) as plain,
        tls.wrap_socket(plain) as connection,
    ):
        names = [
            str(name[1])
            for name in (connection.getpeercert() or {}).get("subjectAltName", ())
            if name[0] == "URI"
        ]
        if len(names) != 1 or SERVER.fullmatch(names[0]) is None:
            raise ssl.SSLError(f"that is not the orders API but {names}")
        return connection.recv(4096).decode()


def main() -> int:
    """Print the answer, or what went wrong; 0 only for a 200."""
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else os.environ["SPIFFE_CREDENTIAL_FOLDER"])  # noqa: PLR2004
    try:
        said = call(sys.argv[1], folder)
    except OSError as refusal:
        sys.stdout.write(f"refused: {refusal}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0 if said.startswith("200") else 1


if __name__ == "__main__":
    sys.exit(main())
