"""The decision point's own certificate, and whose client certificates it takes, as the files say now."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import structlog

from agentid.gate.errors import UnservableError

_log = structlog.get_logger("agentid.gate")

LOOK_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificate, key and trust are; without `client_ca` nobody can show a certificate."""

    certificate: Path
    key: Path
    client_ca: Path | None

    def version(self) -> tuple[bytes, ...]:
        """Return what is in the files now, for telling whether they changed.

        Raises:
            UnservableError: one cannot be read.
        """
        try:
            files = (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))
            return tuple(each.read_bytes() for each in files)
        except OSError as error:
            raise UnservableError(f"{error.filename}: {error.strerror or error}") from error

    def context(self) -> ssl.SSLContext:
        """Return how HTTP is served: a client certificate may be shown, and is verified then.

        Raises:
            UnservableError: the files do not fit together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ssl.SSLError) as error:
            raise UnservableError(f"unusable certificate, key or client CA: {error}") from error
        return context

    def credentials(self) -> grpc.ServerCredentials:
        """Return how gRPC is served; a handshake takes what the files say then.

        Raises:
            UnservableError: one cannot be read.
        """
        first = self.version()

        def configured(version: tuple[bytes, ...]) -> grpc.ServerCertificateConfiguration:
            chain, key, *trusted = version
            return grpc.ssl_server_certificate_configuration([(key, chain)], *trusted)

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            try:
                return configured(self.version())
            except UnservableError:
                # A file that is being written: what was read last goes on.
                return None

        return grpc.dynamic_ssl_server_credentials(
            configured(first),
            fetch,  # type: ignore[arg-type] # None: as before, says gRPC's documentation
            require_client_authentication=self.client_ca is not None,
        )


async def renew(
    files: TlsFiles,
    version: tuple[bytes, ...],
    serve_anew: Callable[[ssl.SSLContext], Awaitable[None]],
    look_seconds: float = LOOK_SECONDS,
) -> None:
    """Have HTTP served with new files whenever they have changed, until cancelled.

    gRPC looks at them with each handshake itself. What cannot be served with is not: the last goes on.

    Args:
        files: Where they are.
        version: What was in them when serving began.
        serve_anew: Serves with a new context.
        look_seconds: How often they are looked at.
    """
    told = ""
    while True:
        await asyncio.sleep(look_seconds)
        try:
            if (new := files.version()) != version:
                await serve_anew(files.context())
                version = new
            told = ""
        except UnservableError as error:
            if str(error) != told:
                told = str(error)
                _log.error("certificate or client CA not usable", error=told)
