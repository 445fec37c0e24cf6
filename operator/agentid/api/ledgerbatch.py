"""`LedgerBatch`: some records of the ledger, chained to the batch before and signed; it never changes."""

from typing import Annotated, Final

from pydantic import Field

from agentid.api.fields import MAX_COUNT, Matches, Model, Rule, UtcSecond, checked_by_server

MAX_RECORDS_LENGTH: Final = 192 * 1024
"""Characters of one batch's records, and bytes: 192 KiB.

etcd takes requests of 1.5 MiB, and in it `<`, `>` and `&` become six bytes each.
"""

MAX_RECORDS: Final = 1000
"""Records of one batch."""

NAME_DIGITS: Final = 16

Sha256 = Annotated[
    str,
    Field(min_length=71, max_length=71),
    Matches(r"sha256:[0-9a-f]{64}", "a hash: sha256: and 64 hexadecimal digits"),
]


class LedgerBatchSpec(Model):
    """The batch's header, its signature, and the records that the header is about."""

    model_config = checked_by_server(
        Rule(
            "self == oldSelf", "a LedgerBatch never changes: what it says is what was so when it was written"
        )
    )

    sequence: int = Field(
        ge=1,
        le=MAX_COUNT,
        description="Which batch of the ledger it is. The first one is 1, and none is left out.",
    )
    previous_hash: Sha256 = Field(
        description="Hash of the header of the batch before it; 64 zeros in the first batch."
    )
    root: Sha256 = Field(description="Merkle tree hash (RFC 6962) over the bytes of the records.")
    count: int = Field(ge=1, le=MAX_RECORDS, description="How many records it holds.")
    at: UtcSecond = Field(description="When it was written, such as 2026-05-31T14:00:00Z.")
    writer: Annotated[
        str,
        Field(min_length=1, max_length=253),
        Matches(r"[!-~]+", "the name of a process: ASCII without spaces"),
    ] = Field(description="The operator's process that wrote it.")
    nonce: Annotated[
        str,
        Field(min_length=32, max_length=32),
        Matches(r"[0-9a-f]{32}", "a nonce: 32 hexadecimal digits"),
    ] = Field(
        description="Drawn anew for every batch: by it a writer whose answer was lost knows whether the "
        "batch of that name is its own."
    )
    key_id: Sha256 = Field(
        alias="keyID",
        description="Hash of the public key (SubjectPublicKeyInfo, DER) that verifies the signature.",
    )
    signature: Annotated[
        str,
        Field(min_length=88, max_length=88),
        Matches(r"[A-Za-z0-9+/]{86}==", "an Ed25519 signature in base64: 88 characters"),
    ] = Field(
        description="Ed25519 over the header: all fields above but this one, and the schema, as canonical "
        "JSON (RFC 8785)."
    )
    records: Annotated[str, Field(min_length=3, max_length=MAX_RECORDS_LENGTH)] = Field(
        description="The records, each one line of canonical JSON (RFC 8785). agentid audit shows and "
        "verifies them."
    )


def batch_name(sequence: int) -> str:
    """Return the name of batch number `sequence`: its digits, so many that names sort as numbers do."""
    return f"{sequence:0{NAME_DIGITS}d}"
