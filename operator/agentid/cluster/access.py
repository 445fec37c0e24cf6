"""How the API server is reached: where it is, whom to trust, and the token that says who asks."""

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import structlog
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import (
    KUBE_CONFIG_DEFAULT_LOCATION,
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
)
from yaml import YAMLError

from agentid.cluster.errors import ConfigurationError

_log = structlog.get_logger("agentid.access")

_IN_A_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_DEFAULT_NAMESPACE: Final = "default"
_TOKEN_LIFE_SECONDS: Final = 60.0
"""A mounted token is replaced well before its end; the kubelet's own clients read it this often too."""

_UNREADABLE: Final = (
    ConfigException,
    YAMLError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)
"""What the loaders raise for a kubeconfig that is none."""


@dataclass(slots=True)
class BearerToken:
    """The token to send, read again from its file or kubeconfig once a minute."""

    kubeconfig: Path | None
    clock: Callable[[], float]
    value: str | None
    read_at: float
    context: str | None = None
    unread: bool = False

    @classmethod
    def of(
        cls,
        configuration: Configuration,
        kubeconfig: Path | None,
        clock: Callable[[], float],
        context: str | None = None,
    ) -> Self:
        """Return the token in `configuration`, which was read from `kubeconfig` just now."""
        return cls(kubeconfig, clock, _header(configuration), clock(), context)

    async def header(self) -> str | None:
        """Return the value of the Authorization header, or None where a client certificate is used.

        While it cannot be read again, the last one stays in use; the API server refuses it when it has ended.
        """
        if self.clock() - self.read_at > _TOKEN_LIFE_SECONDS:
            try:
                self._take(_header(await load_configuration(self.kubeconfig, self.context)))
            except ConfigurationError as error:
                if not self.unread:
                    _log.warning("token not read", error=str(error))
                self.unread = True
        return self.value

    def _take(self, value: str | None) -> None:
        # A file that is being written may be well-formed and hold nothing.
        if value is None and self.value is not None:
            raise ConfigurationError("there is no token any more where the last one was read")
        self.value, self.read_at, self.unread = value, self.clock(), False


async def load_configuration(kubeconfig: Path | None, context: str | None = None) -> Configuration:
    """Return where the API server is and how to authenticate.

    With `kubeconfig`, that file; otherwise the pod's service account; outside a pod, or where a `context` is
    named, the default kubeconfig.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    configuration = Configuration()
    try:
        if _in_a_pod(kubeconfig, context):
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            path = str(kubeconfig) if kubeconfig else KUBE_CONFIG_DEFAULT_LOCATION
            _require_one_of(path.split(os.pathsep) if kubeconfig is None else [path])
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=path, context=context, client_configuration=configuration, persist_config=False
            )
    except _UNREADABLE as error:
        raise _no_way(error) from error
    return configuration


def current_namespace(kubeconfig: Path | None, context: str | None = None) -> str:
    """Return the namespace of what names none: that of the context, or of the pod, or `default`.

    Raises:
        ConfigurationError: there is no such context, or the kubeconfig cannot be read.
    """
    if _in_a_pod(kubeconfig, context):
        try:
            return _IN_A_POD.read_text(encoding="utf-8").strip() or _DEFAULT_NAMESPACE
        except OSError:
            return _DEFAULT_NAMESPACE
    path = str(kubeconfig) if kubeconfig else KUBE_CONFIG_DEFAULT_LOCATION
    _require_one_of(path.split(os.pathsep) if kubeconfig is None else [path])
    try:
        contexts, active = list_kube_config_contexts(path)  # type: ignore[no-untyped-call]
        named = active if context is None else next(each for each in contexts if each["name"] == context)
        return str(named["context"].get("namespace") or _DEFAULT_NAMESPACE)
    except StopIteration:
        raise ConfigurationError(f"no context {context} in the kubeconfig {path}") from None
    except _UNREADABLE as error:
        raise _no_way(error) from error


def _in_a_pod(kubeconfig: Path | None, context: str | None) -> bool:
    return kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ


def _no_way(error: Exception) -> ConfigurationError:
    told = " ".join(str(error).split())
    return ConfigurationError(f"no way to a Kubernetes API server: {told or type(error).__name__}")


def _header(configuration: Configuration) -> str | None:
    token = configuration.api_key.get("BearerToken")
    prefix, _, rest = (token or "").partition(" ")
    # The loaders write "bearer …" and "Bearer …"; kubeconfigs may hold a bare token.
    text = rest.strip() if prefix.lower() == "bearer" else (token or "").strip()
    return f"Bearer {text}" if text else None


def trust(configuration: Configuration) -> ssl.SSLContext:
    """Return whose certificates are accepted for the API server, and the client's own where there is one.

    Raises:
        ConfigurationError: it is not to be verified, or a certificate cannot be used.
    """
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


def _require_one_of(paths: list[str]) -> None:
    # The loader takes a missing file for an empty one, and complains of what is not in it.
    if not any(Path(path).expanduser().is_file() for path in paths):
        raise ConfigurationError(
            f"no way to a Kubernetes API server: there is no kubeconfig {' or '.join(paths)}"
        )
