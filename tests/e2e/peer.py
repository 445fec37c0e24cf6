"""One side of mutual TLS, run in a pod of its own: `peer.py serve PEER` or `peer.py call PEER HOST`.

PEER is the one SPIFFE ID that is let in. Key and chain are read for every connection from the one file that
holds both, so that a renewal between two reads can't mix them. Each call prints a line: the serials of both
sides, or why there was no answer.
"""

import os
import socket
import ssl
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["SPIFFE_CREDENTIAL_FOLDER"])
PORT = 8443


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def context(purpose: ssl.Purpose) -> ssl.SSLContext:
    """Return a TLS context from the files as they are now; the other side needs a certificate too."""
    tls = ssl.create_default_context(purpose, cafile=str(FOLDER / "ca.crt"))
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(FOLDER / "credential-bundle.private-key.pem")
    return tls


def serial_of(connection: ssl.SSLSocket, peer: str) -> str:
    """Return the serial of the other side's certificate, if it is `peer` and nobody else."""
    certificate = connection.getpeercert() or {}
    names = [str(each[1]) for each in certificate.get("subjectAltName", ()) if each[0] == "URI"]
    if names != [peer]:
        raise ssl.SSLError(f"that is {names}, not {peer}")
    return f"{int(str(certificate['serialNumber']), 16):x}"


def serve(peer: str) -> None:
    """Answer each caller with the serial that it showed, for ever."""
    with socket.create_server(("", PORT)) as listener:
        say("listening")
        while True:
            plain, _ = listener.accept()
            plain.settimeout(5)
            try:
                with plain, context(ssl.Purpose.CLIENT_AUTH).wrap_socket(plain, server_side=True) as one:
                    one.sendall(serial_of(one, peer).encode())
            except OSError as refusal:
                say(f"refused: {refusal}")


def call(peer: str, host: str) -> None:
    """Call again and again, for ever."""
    while True:
        try:
            with (
                socket.create_connection((host, PORT), timeout=5) as plain,
                context(ssl.Purpose.SERVER_AUTH).wrap_socket(plain) as one,
            ):
                say(f"answered {one.recv(100).decode()} {serial_of(one, peer)}")
        except OSError as refusal:
            say(f"refused: {refusal}")
        time.sleep(0.5)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        call(sys.argv[2], sys.argv[3])
