"""Has the CRL and the sinks follow the ledger."""

from collections.abc import Callable, Sequence

from agentid.cluster.config_maps import ConfigMaps
from agentid.cluster.errors import NotFoundError
from agentid.cluster.ledger_store import LedgerStore
from agentid.controller.core import Core
from agentid.controller.ledger_followers import CrlFollower, SinkFollower, delivered
from agentid.controller.record_sinks import RecordSinks, routes_of
from agentid.controller.revocations import Revocations
from agentid.controller.spans import SpanFollower
from agentid.ledger.batch import Batch
from agentid.pki.authority import CertificateAuthority
from agentid.process.clocks import boottime
from agentid.process.tracing import traces_are_on


def follow(core: Core, authority: Callable[[], CertificateAuthority]) -> tuple[Revocations, RecordSinks]:
    """Return the CRL and the sinks, which follow the ledger from now on."""
    settings, config_maps = (
        core.settings,
        ConfigMaps(core.connection, core.settings.namespace, core.leader.require),
    )
    store = LedgerStore(core.connection, settings.namespace, core.leader.require)

    async def read(sequence: int) -> Sequence[bytes] | None:
        try:
            body = await store.read(sequence)
        except NotFoundError:
            return None
        return delivered(Batch.from_spec(body["metadata"]["name"], body.get("spec")))

    revocations = Revocations(
        config_maps, authority, core.metrics, leads=lambda: core.duty.is_on, clock=core.clock.now
    )
    sinks = RecordSinks(
        routes_of(settings, core.connection.server, core.clock.now),
        read,
        config_maps,
        core.metrics,
        leads=lambda: core.duty.is_on,
        patience_seconds=settings.sink_patience_seconds,
        clock=boottime,
    )
    core.followers.extend((CrlFollower(revocations), SinkFollower(sinks)))
    if traces_are_on():
        core.followers.append(SpanFollower())
    return revocations, sinks
