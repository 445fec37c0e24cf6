"""An orders API that answers only refund agents on a task: mutual TLS, and the caller's SPIFFE ID is checked.

Standard library only; it runs in a pod with its own X.509-SVID mounted at SPIFFE_CREDENTIAL_FOLDER. The
files are read for every connection, so that a renewed certificate counts at once.
"""

import os
import re
import socket
import ssl
import sys
from pathlib import Path

FOLDER = Path(os.environ["SPIFFE_CREDENTIAL_FOLDER"])
ALLOWED = re.compile(r"spiffe://[^/]+/ns/support/agent/(refund-agent)/task/([0-9a-f-]{36})")
PORT = int(os.environ.get("PORT", "8443"))


def context() -> ssl.SSLContext:
    """Return a server's TLS context from the files as they are now; a client certificate is required."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(FOLDER / "ca.crt"))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(FOLDER / "tls.crt", FOLDER / "tls.key")
    return tls


def answer(connection: ssl.SSLSocket) -> str:
    """Return what the caller is told: 200 only where its one URI SAN is a refund agent's task."""
    certificate = connection.getpeercert() or {}
    names = [str(name[1]) for name in certificate.get("subjectAltName", ()) if name[0] == "URI"]
    caller = ALLOWED.fullmatch(names[0]) if len(names) == 1 else None
    return f"200 hello {caller[1]}, task {caller[2]}" if caller else f"403 not for {names}"


def serve() -> None:
    """Answer one caller after the other, for ever."""
    with socket.create_server(("", PORT)) as listener:
        sys.stdout.write(f"listening on {PORT}\n")
        sys.stdout.flush()
        while True:
            plain, address = listener.accept()
            plain.settimeout(5)
            try:
                with plain, context().wrap_socket(plain, server_side=True) as connection:
                    connection.sendall(answer(connection).encode())
            except OSError as refusal:
                sys.stdout.write(f"refused {address[0]}: {refusal}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    serve()
