"""An orders API that answers only refund agents on a task: mutual TLS, and the caller's SPIFFE ID is checked.

Standard library only; it runs in a pod with its own X.509-SVID mounted at SPIFFE_CREDENTIAL_FOLDER. The
files are read for every connection, so that a renewed certificate counts at once.

Where GATE names a decision point, such as https://agentid-gate.agentid-system.svc, each call is a matter of
its answer: it is asked by AuthZEN, with the token of a service account (GATE_TOKEN_FILE) and, over TLS,
trusting GATE_CA_FILE.
"""

import json
import os
import re
import socket
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["SPIFFE_CREDENTIAL_FOLDER"])
ALLOWED = re.compile(r"spiffe://[^/]+/ns/support/agent/(refund-agent)/task/([0-9a-f-]{36})")
PORT = int(os.environ.get("PORT", "8443"))
GATE = os.environ.get("GATE", "")


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
    if caller is None:
        return f"403 not for {names}"
    if GATE:
        decided = decision(names[0], f"{int(str(certificate['serialNumber']), 16):x}")
        if decided["decision"] is not True:
            return f"403 {decided['context']['reason']}: {decided['context']['message']}"
    return f"200 hello {caller[1]}, task {caller[2]}"


def decision(identity: str, serial: str) -> dict[str, Any]:
    """Return what the decision point says of a caller with that certificate.

    Raises:
        OSError: It was not reached, or did not answer as it should: nobody is let in.
    """
    question = {
        "subject": {"type": "workload", "id": identity, "properties": {"serial": serial}},
        "action": {"name": "orders:read"},
        "resource": {"type": "orders", "id": "all"},
    }
    token = Path(os.environ["GATE_TOKEN_FILE"]).read_text()
    asked = urllib.request.Request(  # noqa: S310 - whoever deploys it says where
        f"{GATE}/access/v1/evaluation",
        json.dumps(question).encode(),
        {"Authorization": f"Bearer {token.strip()}", "Content-Type": "application/json"},
    )
    trusted = ssl.create_default_context(cafile=os.environ.get("GATE_CA_FILE"))
    with urllib.request.urlopen(asked, timeout=3, context=trusted) as reply:  # noqa: S310
        said: dict[str, Any] = json.load(reply)
        return said


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
