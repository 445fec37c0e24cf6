"""Rules about the credential that was shown, and the pod that it was given to."""

import re
from typing import Final

from agentid.api.agent import Sensitivity
from agentid.gate.answer import Denial, Reason
from agentid.gate.case import Case
from agentid.gate.known_task import HeldCredential
from agentid.lifecycle.pods import is_over, what_became_of
from agentid.lifecycle.wording import at

_SERIAL: Final = re.compile(r"[0-9a-f]{1,40}")


def credential_does_not_count(case: Case) -> Denial | None:
    """A copied or revoked credential is none; during a renewal, the old one counts beside the new one."""
    serial = case.question.serial
    if serial is None:
        if case.limits.serial_optional and case.known.sensitivity is Sensitivity.PUBLIC:
            return None if any(_is_valid(each, case) for each in case.known.credentials) else _none(case)
        return Denial(
            Reason.SERIAL_MISSING,
            "The serial number of the caller's certificate was not sent. Have the enforcement point send it: "
            "in AuthZEN as subject.properties.serial, from Envoy with the peer's certificate.",
        )
    held = next((each for each in case.known.credentials if each.serial == serial), None)
    if held is None:
        which = f"serial {serial}" if _SERIAL.fullmatch(serial) else "this serial number"
        return Denial(
            Reason.UNKNOWN_CREDENTIAL,
            f"No credential with {which} counts for {case.known.title}: it was revoked or replaced, or never "
            "was. Read the credential's files again; each renewal writes them anew.",
        )
    if _is_valid(held, case):
        return None
    if held.not_after <= case.moment.now:
        said = f"The credential with serial {serial} has expired at {at(held.not_after)}"
        return Denial(Reason.CREDENTIAL_EXPIRED, f"{said}. Read its files again; each renewal writes them.")
    said = f"The credential with serial {serial} is valid from {at(held.not_before)} on"
    return Denial(Reason.CREDENTIAL_NOT_YET_VALID, f"{said}. Look at the clocks of both nodes.")


def _none(case: Case) -> Denial:
    said = f"{case.known.title} has no credential that counts"
    return Denial(Reason.UNKNOWN_CREDENTIAL, f"{said}: it waits for one, or its own was revoked.")


def pod_is_not_the_one_decided_on(case: Case) -> Denial | None:
    """A credential is for one pod, as it was when that was decided on."""
    task, bound = case.known, case.known.bound
    if not task.in_pod:
        return None
    pod = case.view.pod(bound.uid) if bound is not None else None
    if bound is None or pod is None or is_over(pod):
        which = what_became_of(pod, bound.name) if bound is not None else "no pod holds its credential"
        return Denial(
            Reason.POD_GONE, f"{task.title}: {which}. It gets a credential in its next pod, if any."
        )
    if pod.fingerprint == bound.fingerprint:
        return None
    said = f"{task.title}: the images, containers or owner of pod {pod.name} are not what was decided on"
    return Denial(Reason.POD_CHANGED, f"{said}. Start a new task.")


def _is_valid(held: HeldCredential, case: Case) -> bool:
    return held.not_before - case.limits.max_skew <= case.moment.now < held.not_after
