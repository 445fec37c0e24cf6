"""What OPA answered: yes, no with a reason, or nothing that counts."""

import unicodedata
from dataclasses import dataclass
from typing import Final

import orjson
from pydantic import JsonValue

from agentid.opa.errors import OpaError, Outcome

MAX_ANSWER_BYTES: Final = 65_536
MAX_REASON_LENGTH: Final = 300

_MAX_ID_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision.

    Attributes:
        allowed: Whether OPA allows it.
        reason: Why not, for people, as the rules say it; on one line, bounded, may be empty.
        decision_id: By which OPA's decision log names it; empty where it keeps none.
    """

    allowed: bool
    reason: str = ""
    decision_id: str = ""

    @property
    def outcome(self) -> Outcome:
        """The answer in one word."""
        return Outcome.ALLOWED if self.allowed else Outcome.DENIED


def read_answer(body: bytes, rule: str) -> Answer:
    """Return what `body`, the answer to `POST /v1/data/…`, says; `rule` is how messages name the document.

    Raises:
        OpaError: it says nothing that counts.
    """
    try:
        envelope: JsonValue = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid("is not JSON; something other than OPA may have answered") from error
    if not isinstance(envelope, dict):
        raise _invalid("is not a JSON object; something other than OPA may have answered")
    if "result" not in envelope:
        raise OpaError(
            Outcome.UNDEFINED,
            f"OPA has no answer: {rule} is undefined. Look whether its policy is loaded and has a default.",
        )
    result, given = envelope["result"], envelope.get("decision_id")
    decision_id = _clean(given, _MAX_ID_LENGTH) if isinstance(given, str) else ""
    if isinstance(result, bool):
        return Answer(result, decision_id=decision_id)
    if not isinstance(result, dict) or not isinstance(allowed := result.get("allow"), bool):
        raise _invalid(
            f"is of the wrong type: {rule} has to be true, false or an object with a boolean allow"
        )
    reason = result.get("reason", "")
    if not isinstance(reason, str):
        raise _invalid(f"is of the wrong type: reason of {rule} has to be a string")
    return Answer(allowed, _clean(reason, MAX_REASON_LENGTH), decision_id)


def _invalid(said: str) -> OpaError:
    return OpaError(Outcome.INVALID, f"OPA's answer {said}.")


def _clean(text: str, longest: int) -> str:
    """Return `text` on one line, without what does not show, and not longer than that."""
    shown = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in text[: 4 * longest])
    one_line = " ".join(shown.split())
    return one_line if len(one_line) <= longest else f"{one_line[: longest - 1]}…"
