"""How public documents are served over HTTP: to everybody, with what caches have to know."""

from email.utils import format_datetime
from typing import Final, Protocol

from aiohttp import web

from agentid.gate.public_documents import CRL_OF_ISSUER_PATH, CRL_PATH
from agentid.gate.published_crl import Document, Withheld

_CACHE: Final = "public, max-age=2, must-revalidate"
"""What is revoked is in the CRL within two seconds, and no cache may hold that up for much longer."""
_RETRY_SECONDS: Final = "2"


class Documents(Protocol):
    """What there is to serve."""

    def crl(self, issuer: str | None = None) -> Document | Withheld | None:
        """Return the CRL of an issuer, or of the one that signs now."""


class _Nothing:
    def crl(self, issuer: str | None = None) -> None:
        """Return None."""


NONE: Final[Documents] = _Nothing()
"""Where there is nothing to serve."""


def add_documents(application: web.Application, documents: Documents) -> None:
    """Serve `documents`; whoever asks need not show who it is."""

    async def crl(request: web.Request) -> web.Response:
        return _served(request, documents.crl(request.match_info.get("issuer")))

    application.router.add_get(CRL_PATH, crl)
    application.router.add_get(CRL_OF_ISSUER_PATH, crl)


def _served(request: web.Request, document: Document | Withheld | None) -> web.Response:
    if document is None:
        raise web.HTTPNotFound
    if isinstance(document, Withheld):
        headers = {"Retry-After": _RETRY_SECONDS, "Cache-Control": "no-store"}
        return web.json_response({"message": document.reason}, status=503, headers=headers)
    tag = f'"{document.tag}"'
    headers = {"ETag": tag, "Cache-Control": _CACHE, "X-Content-Type-Options": "nosniff"}
    if document.modified is not None:
        headers["Last-Modified"] = format_datetime(document.modified, usegmt=True)
    if any(each.value in {document.tag, "*"} for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=document.content, content_type=document.media_type, headers=headers)
