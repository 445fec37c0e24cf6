"""What a server is shown and whom it has to be: files, read anew as they are replaced while in use."""

import hashlib
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentid.outbound.errors import UnusableFileError

_TOKEN: Final = re.compile(r"[!-~]{1,16384}")
_MAX_FILE_BYTES: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Where they are.

    Attributes:
        ca: Who is trusted; None: whom the system trusts.
        certificate: The client's certificate and its chain; None: none is shown.
        key: Its key.
        token: The bearer token; None: none is sent.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: Path | None = None


class Credentials:
    """The token and the TLS context for the next request."""

    def __init__(self, files: CredentialFiles, *, is_encrypted: bool) -> None:
        self._files = files
        self._is_encrypted = is_encrypted
        self._context: ssl.SSLContext | None = None
        self._made_of = b""

    def token(self) -> str | None:
        """Return the bearer token as it is in its file now; None: none is to be sent.

        Raises:
            UnusableFileError: the file cannot be read, or holds none.
        """
        path = self._files.token
        if path is None:
            return None
        text = _read(path, "token").decode(errors="replace").strip()
        if _TOKEN.fullmatch(text) is None:
            raise UnusableFileError(f"{path} holds no token: one line of visible characters is expected")
        return text

    def context(self) -> ssl.SSLContext | None:
        """Return whom to trust and what to show; a new one when a file has changed. None: without TLS.

        A context keeps all that it ever trusted, so it is made anew and never added to.

        Raises:
            UnusableFileError: a file cannot be read or used.
        """
        if not self._is_encrypted:
            return None
        files = (self._files.ca, self._files.certificate, self._files.key)
        made_of = b"".join(
            hashlib.sha256(_read(each, "certificate or key")).digest() if each else b"-" for each in files
        )
        if self._context is None or made_of != self._made_of:
            self._context, self._made_of = _context(self._files), made_of
        return self._context


def _context(files: CredentialFiles) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=files.ca)
        if files.certificate is not None:
            # A key with a password would be asked for on the terminal.
            context.load_cert_chain(files.certificate, files.key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise UnusableFileError(
            f"the CA's or the client's certificate is not usable ({type(error).__name__})"
        ) from error
    return context


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise UnusableFileError(f"the {what} in {path} cannot be read ({error.strerror})") from error
