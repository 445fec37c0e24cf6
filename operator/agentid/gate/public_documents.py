"""What the decision point serves to everybody who asks: the CRLs, as the operator has published them.

Nothing of it is secret, and all of it is signed: who asks shows nothing, and goes by the signature.
"""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final

from agentid.api.names import CRL_CONFIG_MAP, PREVIOUS_CRL_CONFIG_MAP
from agentid.cluster.config_maps import ConfigMaps
from agentid.cluster.connection import Connection
from agentid.cluster.paths import CONFIG_MAPS
from agentid.cluster.reflector import Reflector, Scope
from agentid.gate.published_crl import Document, Withheld, crl_in
from agentid.gate.whole_crl import WholeCrls

CRL_PATH: Final = "/crl.der"
"""The CRL of the authority that signs now."""
CRL_OF_ISSUER_PATH: Final = "/crl/{issuer}.crl"
"""That of an issuer, by its key ID: a certificate's distribution point where `crl.url` ends in /crl."""

_NAMES: Final = (CRL_CONFIG_MAP, PREVIOUS_CRL_CONFIG_MAP)


class PublicDocuments:
    """The CRLs, kept up to date by watches of their ConfigMaps; decisions do not depend on these."""

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        """Take seconds that only grow, and the time of day."""
        # It writes none of them, and may not.
        config_maps = ConfigMaps(connection, namespace, lambda: 0.0)
        self._now = now
        self._wholes = {name: WholeCrls(config_maps.read, clock) for name in _NAMES}
        self._crls = {
            name: Reflector(
                connection, Scope(CONFIG_MAPS, namespace, name), crl_in, changed=self._changed, clock=clock
            )
            for name in _NAMES
        }

    def crl(self, issuer: str | None = None) -> Document | Withheld | None:
        """Return the CRL of an issuer, None: of the one that signs now; None: there is none."""
        for name in _NAMES if issuer is not None else _NAMES[:1]:
            found = self._crls[name].get(name)
            if found is not None and issuer in {None, found.issuer}:
                return self._wholes[name].served(found, self._now())
        return None

    def behind_seconds(self) -> float:
        """Return for how long a CRL has been published that is not put together yet; 0 where none is."""
        return max(each.behind_seconds() for each in self._wholes.values())

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run until the end."""
        wholes = [each.run() for each in self._wholes.values()]
        return [*(each.run() for each in self._crls.values()), *wholes]

    def _changed(self, name: str) -> None:
        self._wholes[name].follow(self._crls[name].get(name))
