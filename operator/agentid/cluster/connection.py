"""One shared keep-alive connection to the API server, for the operator's requests and kopf's watches."""

import math
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import orjson
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import (
    KUBE_CONFIG_DEFAULT_LOCATION,
    ConfigException,
    load_incluster_config,
    load_kube_config,
)
from yaml import YAMLError

from agentid.cluster.errors import (
    ApiAnswerError,
    ConfigurationError,
    ConnectionLostError,
    PassingError,
    translate,
)
from agentid.cluster.watch_activity import WatchActivity

_TOKEN_LIFE_SECONDS: Final = 60.0
"""A mounted token is replaced well before its end; the kubelet's own clients read it this often too."""
REQUEST_SECONDS: Final = 15.0
"""How long a request may take, with its answer, unless it is said otherwise."""
_FIRST_ERROR_STATUS: Final = 400

Params = Mapping[str, str]
Body = dict[str, Any]


@dataclass(slots=True)
class BearerToken:
    """The token to send, read again from its file or kubeconfig once a minute."""

    kubeconfig: Path | None
    clock: Callable[[], float]
    value: str | None = None
    read_at: float = float("-inf")

    async def header(self) -> str | None:
        """Return the value of the Authorization header, or None where a client certificate is used."""
        if self.clock() - self.read_at > _TOKEN_LIFE_SECONDS:
            self._take(await load_configuration(self.kubeconfig))
        return self.value

    def _take(self, configuration: Configuration) -> None:
        token = configuration.api_key.get("BearerToken")
        prefix, _, rest = (token or "").partition(" ")
        # The loaders write "bearer …" and "Bearer …"; kubeconfigs may hold a bare token.
        text = rest.strip() if prefix.lower() == "bearer" else (token or "").strip()
        self.value = f"Bearer {text}" if text else None
        self.read_at = self.clock()


async def load_configuration(kubeconfig: Path | None) -> Configuration:
    """Return where the API server is and how to authenticate.

    With `kubeconfig`, that file; otherwise the pod's service account; outside a pod the default kubeconfig.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            path = str(kubeconfig) if kubeconfig else KUBE_CONFIG_DEFAULT_LOCATION
            _require_one_of(path.split(os.pathsep) if kubeconfig is None else [path])
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=path, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, YAMLError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        told = " ".join(str(error).split())
        raise ConfigurationError(
            f"no way to a Kubernetes API server: {told or type(error).__name__}"
        ) from error
    return configuration


class Connection:
    """Requests to one API server; every failure leaves as an error of `agentid.cluster.errors`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: str,
        activity: WatchActivity,
        new_session: Callable[[], aiohttp.ClientSession],
    ) -> None:
        self.session = session
        self.server = server.rstrip("/")
        self.activity = activity
        self._new_session = new_session

    def session_for_kopf(self) -> aiohttp.ClientSession:
        """Return a session over the same connections that kopf may close when it is done."""
        return self._new_session()

    @classmethod
    @asynccontextmanager
    async def open(cls, kubeconfig: Path | None, clock: Callable[[], float]) -> AsyncIterator[Self]:
        """Open the connection that `kubeconfig` (None: see `load_configuration`) describes.

        Raises:
            ConfigurationError: it describes none.
        """
        configuration = await load_configuration(kubeconfig)
        token = BearerToken(kubeconfig, clock)
        activity = WatchActivity(clock)

        async def authenticate(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            if (header := await token.header()) is not None:
                request.headers["Authorization"] = header
            return await handler(request)

        # No limit here: each watch holds a connection for good, and must not keep the lease or a wipe
        # waiting. Requests are bounded by who makes them: workers, senders of Events, one runner a watch.
        connector = aiohttp.TCPConnector(limit=0, ssl=_tls(configuration), keepalive_timeout=60)

        def new_session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession(
                connector=connector,
                connector_owner=False,
                headers={"User-Agent": "agentid", "Accept": "application/json"},
                middlewares=(authenticate,),
                response_class=activity.response_class(),
                timeout=_timeout(REQUEST_SECONDS),
            )

        session = new_session()
        try:
            yield cls(session, configuration.host, activity, new_session)
        finally:
            await session.close()
            await connector.close()

    async def get(self, path: str, params: Params | None = None, *, accept: str | None = None) -> Body:
        """GET an object or a list."""
        return _decoded(await self._send("GET", path, None, params, {"Accept": accept} if accept else None))

    async def post(
        self,
        path: str,
        body: Body,
        params: Params | None = None,
        *,
        within_seconds: float = REQUEST_SECONDS,
    ) -> Body:
        """Create an object and return it as created."""
        return _decoded(await self._send("POST", path, body, params, within_seconds=within_seconds))

    async def ask(self, path: str, body: Body, params: Params) -> Body:
        """POST something whose refusal is an answer too: return the object or the `Status` that says no.

        Raises:
            PassingError: there was no answer of that kind.
        """
        try:
            return await self.post(path, body, params)
        except ApiAnswerError as error:
            if isinstance(error, PassingError) or not error.status:
                raise
            return dict(error.status)

    async def put(
        self,
        path: str,
        body: Body,
        params: Params | None = None,
        *,
        within_seconds: float = REQUEST_SECONDS,
    ) -> Body:
        """Replace an object and return it as it is then."""
        return _decoded(await self._send("PUT", path, body, params, within_seconds=within_seconds))

    async def merge(self, path: str, body: Body, *, within_seconds: float = REQUEST_SECONDS) -> Body:
        """Merge `body` into an object (RFC 7386) and return it as it is then."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return _decoded(await self._send("PATCH", path, body, None, headers, within_seconds=within_seconds))

    async def delete(self, path: str, body: Body, *, within_seconds: float = REQUEST_SECONDS) -> None:
        """Delete an object. What comes back is dropped unread: it may be the object."""
        await self._send("DELETE", path, body, None, wanted=False, within_seconds=within_seconds)

    async def _send(  # noqa: PLR0913 - what a request consists of
        self,
        method: str,
        path: str,
        body: Body | None,
        params: Params | None,
        headers: Mapping[str, str] | None = None,
        *,
        wanted: bool = True,
        within_seconds: float = REQUEST_SECONDS,
    ) -> bytes:
        """Send one request and return the bytes of a good answer; one that is not `wanted` is not read.

        It is given up after `within_seconds`, or the ordinary time of a request if that is sooner.

        Raises:
            ApiAnswerError: see `agentid.cluster.errors`.
        """
        all_headers = dict(headers or {})
        if body is not None:
            all_headers.setdefault("Content-Type", "application/json")
        data = None if body is None else orjson.dumps(body)
        what = f"{method} {path}"
        timeout = _timeout(min(within_seconds, REQUEST_SECONDS))
        try:
            async with self.session.request(
                method, self.server + path, data=data, params=params, headers=all_headers, timeout=timeout
            ) as response:
                bad = response.status >= _FIRST_ERROR_STATUS
                # Left unread, what has not arrived yet is dropped with its connection.
                content = await response.read() if wanted or bad else b""
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ConnectionLostError(f"{what}: no answer: {type(error).__name__} {error}") from error
        if bad:
            raise translate(response.status, _status_of(content), what, response.headers.get("Retry-After"))
        return content


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # Never rounded up to a whole second, as aiohttp does with longer ones: a lease may end before that.
    return aiohttp.ClientTimeout(total=seconds, sock_connect=5, ceil_threshold=math.inf)


def _require_one_of(paths: list[str]) -> None:
    # The loader takes a missing file for an empty one, and complains of what is not in it.
    if not any(Path(path).expanduser().is_file() for path in paths):
        raise ConfigurationError(
            f"no way to a Kubernetes API server: there is no kubeconfig {' or '.join(paths)}"
        )


def _decoded(content: bytes) -> Body:
    try:
        decoded = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ConnectionLostError(f"the answer is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise ConnectionLostError("the answer is not an object; something other than an API server answered")
    return decoded


def _status_of(content: bytes) -> Body:
    try:
        status = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return status if isinstance(status, dict) else {}


def _tls(configuration: Configuration) -> ssl.SSLContext | bool:
    if not configuration.verify_ssl:
        raise ConfigurationError("insecure-skip-tls-verify is set; agentid trusts only a verified API server")
    try:
        context = ssl.create_default_context(
            cafile=configuration.ssl_ca_cert, cadata=getattr(configuration, "ca_cert_data", None)
        )
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"unusable CA or client certificate of the API server: {error}") from error
    return context
