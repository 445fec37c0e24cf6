"""What OPA is shown and whom it has to be: files that are read anew, since they are replaced while in use."""

import hashlib
import re
import ssl
from pathlib import Path
from typing import Final

from agentid.opa.endpoint import Endpoint
from agentid.opa.errors import OpaError, Outcome

_TOKEN: Final = re.compile(r"[!-~]{1,16384}")
_MAX_FILE_BYTES: Final = 1_048_576


class Credentials:
    """The token and the TLS context for the next question."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._context: ssl.SSLContext | None = None
        self._made_of = b""

    def token(self) -> str | None:
        """Return the bearer token as it is in its file now; None: none is to be sent.

        Raises:
            OpaError: the file cannot be read, or holds none.
        """
        path = self._endpoint.token_file
        if path is None:
            return None
        text = _read(path, "token").decode(errors="replace").strip()
        if _TOKEN.fullmatch(text) is None:
            raise _unusable(f"{path} holds no token: one line of visible characters is expected")
        return text

    def context(self) -> ssl.SSLContext | None:
        """Return whom to trust and what to show; a new one when a file has changed. None: without TLS.

        A context keeps all that it ever trusted, so it is made anew and never added to.

        Raises:
            OpaError: a file cannot be read or used.
        """
        endpoint = self._endpoint
        if not endpoint.is_encrypted:
            return None
        files = (endpoint.ca_file, endpoint.certificate_file, endpoint.key_file)
        made_of = b"".join(
            hashlib.sha256(_read(each, "certificate or key")).digest() if each else b"-" for each in files
        )
        if self._context is None or made_of != self._made_of:
            self._context, self._made_of = _context(endpoint), made_of
        return self._context


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file)
        if endpoint.certificate_file is not None:
            # A key with a password would be asked for on the terminal.
            context.load_cert_chain(endpoint.certificate_file, endpoint.key_file, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise _unusable(
            f"the CA's or the client's certificate is not usable ({type(error).__name__})"
        ) from error
    return context


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise _unusable(f"the {what} in {path} cannot be read ({error.strerror})") from error


def _unusable(said: str) -> OpaError:
    public = "OPA was not asked: its token or a certificate cannot be used."
    return OpaError(Outcome.UNPREPARED, public, said)
