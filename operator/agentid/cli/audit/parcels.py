"""In what a ledger comes: batches as the operator wrote them, or the lines that a sink made of them."""

from dataclasses import dataclass

from agentid.api.names import API_VERSION
from agentid.cluster.connection import Body
from agentid.cluster.paths import LEDGER_BATCHES
from agentid.watched.facts import mapping, text


@dataclass(frozen=True, slots=True)
class BatchObject:
    """One LedgerBatch; whether it is a batch indeed is still to be seen.

    Attributes:
        name: Its name.
        spec: What it holds.
        problem: Why not even an object could be read where it should be; empty: one could.
    """

    name: str
    spec: object
    problem: str = ""

    @classmethod
    def of(cls, body: Body) -> "BatchObject":
        """Return the batch that an object is."""
        return cls(text(mapping(body.get("metadata")).get("name")), body.get("spec"))

    def to_object(self) -> Body:
        """Return it as `agentid audit export` writes it: the object without what the API server adds."""
        return {
            "apiVersion": API_VERSION,
            "kind": LEDGER_BATCHES.kind,
            "metadata": {"name": self.name},
            "spec": self.spec,
        }


@dataclass(frozen=True, slots=True)
class SinkLine:
    """One record as a sink writes it into its segments: where it stood in the ledger, and nothing signed.

    Attributes:
        sequence: Number of its batch.
        index: Which record of the batch it is, from 0.
        count: How many records the batch has.
        record: The record's own line.
    """

    sequence: int
    index: int
    count: int
    record: bytes


Parcel = BatchObject | SinkLine
