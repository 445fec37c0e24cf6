"""What most parts of an operator are made of: the world, the queue, the Lease, and what is told."""

import time
import uuid
from dataclasses import dataclass

from agentid.cluster.connection import Connection
from agentid.cluster.events import Events
from agentid.cluster.lease import LeaseLock, Takeover
from agentid.cluster.reads import Reads
from agentid.cluster.statuses import StatusWrites
from agentid.controller.deadlines import Deadlines
from agentid.controller.duty import Duty
from agentid.controller.leader import Leader
from agentid.controller.ledger import Ledger
from agentid.controller.ledger_followers import Follower
from agentid.controller.ledger_parts import ledger_of
from agentid.controller.metrics import Metrics
from agentid.controller.packed_task import PackedTask
from agentid.controller.places import Places
from agentid.controller.policy_statuses import PolicyStatuses
from agentid.controller.queue import WorkQueue
from agentid.controller.recording import Recorder
from agentid.controller.records import Record
from agentid.controller.settings import Settings
from agentid.controller.world import World
from agentid.process.clocks import Clock, boottime
from agentid.watched.policies import Policies


@dataclass(frozen=True, slots=True)
class Core:
    """What most of the other parts are made of."""

    settings: Settings
    connection: Connection
    clock: Clock
    metrics: Metrics
    reads: Reads
    queue: WorkQueue
    deadlines: Deadlines
    world: World
    places: Places
    policies: Policies
    policy_statuses: PolicyStatuses
    events: Events
    duty: Duty
    leader: Leader
    ledger: Ledger
    recorder: Recorder
    followers: list[Follower]


def core_of(settings: Settings, connection: Connection, clock: Clock) -> Core:
    """Return it with these settings, nothing of it running yet."""
    metrics = Metrics()
    queue = WorkQueue(time.monotonic, metrics.count_failed_pass)

    def overwritten(record: Record, before: PackedTask) -> None:
        recorder.overwritten(record, before)

    world = World(queue.add, clock.now, overwritten)
    deadlines = Deadlines(clock.now, queue.add, queue.add_later)
    places = Places(world.census, queue.add)
    wipe_grace = settings.limits().wipe_grace
    duty = Duty(world, queue, deadlines, metrics, wipe_grace=wipe_grace, clock=clock.now)
    events = Events(connection, settings.instance, metrics.count_event)
    policies = Policies(duty.look_at_layer, lambda policy: policy_statuses.note(policy))  # noqa: PLW0108 - made below

    lock = _lock(settings, connection, clock)

    def take_over(takeover: Takeover) -> bool:
        policy_statuses.note_all()
        places.begin_anew()
        ledger.take_over()
        return duty.take_over(takeover)

    def step_down() -> None:
        ledger.step_down()
        duty.step_down()

    leader = Leader(lock, settings.lease_times(), take_over, step_down)
    followers: list[Follower] = []
    ledger = ledger_of(
        settings,
        connection,
        clock,
        world,
        metrics,
        writer=lock.identity,
        leader=leader,
        worth_waiting_for=lambda: queue.crowded,
        followers=followers,
    )
    recorder = Recorder(ledger, clock.now, followers)
    policy_statuses = PolicyStatuses(
        policies,
        StatusWrites(connection, leader.require),
        events,
        metrics,
        record=recorder.note,
        leads=lambda: duty.is_on,
        clock=clock.now,
    )
    return Core(
        settings=settings,
        connection=connection,
        clock=clock,
        metrics=metrics,
        reads=Reads(connection),
        queue=queue,
        deadlines=deadlines,
        world=world,
        places=places,
        policies=policies,
        policy_statuses=policy_statuses,
        events=events,
        duty=duty,
        leader=leader,
        ledger=ledger,
        recorder=recorder,
        followers=followers,
    )


def _lock(settings: Settings, connection: Connection, clock: Clock) -> LeaseLock:
    return LeaseLock(
        connection,
        name=settings.lease_name,
        namespace=settings.namespace,
        # Two processes never share an identity, not even a restarted one with its former self.
        identity=f"{settings.instance}_{uuid.uuid4().hex[:8]}",
        times=settings.lease_times(),
        clock=clock.now,
        boottime=boottime,
    )
