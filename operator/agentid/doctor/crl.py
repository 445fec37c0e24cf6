"""Whether the published CRLs are signed by the authority, current, and hold all that is revoked."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from agentid.api.fields import format_time
from agentid.api.names import AUTHORITY_SECRET, CRL_CONFIG_MAP, PREVIOUS_CRL_CONFIG_MAP
from agentid.cluster.config_maps import ConfigMap, ConfigMaps
from agentid.cluster.errors import AuthorityStoreError, ForbiddenError
from agentid.cluster.paths import SECRETS
from agentid.doctor.authority import authority_in
from agentid.doctor.finding import Finding, problem, unseen, warning, well
from agentid.doctor.look import Look
from agentid.pki.authority import CertificateAuthority
from agentid.pki.crl import PublishedCrl, read_crl
from agentid.pki.crl_parts import CRL_KEY, PART_KEY, WholeCrl
from agentid.pki.errors import PkiError, RevocationListError
from agentid.pki.revocation_list import LIFETIME, MAX_ENTRIES, REFRESH

CHECK: Final = "CRL"
_LATE: Final = 2 * REFRESH
_LONGEST_LIFE: Final = timedelta(days=1)
_RUNBOOK: Final = (
    "See the operator's log for `crl not published` (docs/operations.md, AgentidRevocationLate)."
)

_SHORTER: Final = "Shorten credentials: an entry stays until its certificate would have ended."
_ASK_A_DECISION_POINT: Final = "Take the CRL from a decision point, which serves the whole one."


async def look_at_crls(look: Look, namespace: str, now: datetime) -> list[Finding]:
    """Read the authority and its CRLs, and judge them."""
    authority = await _authority(look, namespace, now)
    # Nothing is written here.
    config_maps = ConfigMaps(look.connection, namespace, lambda: 0.0)
    of = {CRL_CONFIG_MAP: authority}
    if authority is not None and authority.previous is not None:
        of[PREVIOUS_CRL_CONFIG_MAP] = authority.previous
    findings = []
    for name, issuer in of.items():
        found = await config_maps.read(name)
        parts = await _parts(config_maps, found)
        findings += judge_crl(found, issuer, f"{namespace}/{name}", now, parts)
    return findings


async def _parts(config_maps: ConfigMaps, found: ConfigMap | None) -> dict[str, bytes]:
    """Return the parts that a CRL is said to have, by name, as far as they are there."""
    try:
        whole = WholeCrl.read(found.data, found.binary) if found is not None else None
    except RevocationListError:
        return {}
    parts = {}
    for each in whole.parts if whole is not None else ():
        if (part := await config_maps.read(each.name)) is not None:
            parts[each.name] = part.binary.get(PART_KEY, b"")
    return parts


async def _authority(look: Look, namespace: str, now: datetime) -> CertificateAuthority | None:
    """Return the authority, where it can be read; what is wrong with it, its own check says."""
    try:
        secret = await look.find(SECRETS, namespace, AUTHORITY_SECRET)
        return authority_in(secret, now) if secret is not None else None
    except (ForbiddenError, AuthorityStoreError, PkiError):
        return None


def judge_crl(
    found: ConfigMap | None,
    authority: CertificateAuthority | None,
    name: str,
    now: datetime,
    parts: Mapping[str, bytes],
) -> list[Finding]:
    """Say how one CRL stands at `now`, with its `parts`, where it has some.

    Where `authority` is None, nobody knows who has to have signed it.
    """
    title = f"ConfigMap {name}"
    if found is None or CRL_KEY not in found.binary:
        return [problem(CHECK, f"{title} holds no CRL: who asks for one accepts nothing.", _RUNBOOK)]
    if authority is None:
        said = f"{title} holds a CRL; the authority cannot be read, so whether it signed that is not known."
        return [
            unseen(CHECK, said, "Ask as an administrator; the check `authority` says what is wrong with it.")
        ]
    try:
        crl = read_crl(found.binary[CRL_KEY], authority, longest_life=_LONGEST_LIFE)
        whole = WholeCrl.read(found.data, found.binary)
    except RevocationListError as error:
        return [problem(CHECK, f"{title}: {error}.", _RUNBOOK)]
    content = _judge_content(crl, title, found, now, is_all=whole is None)
    return [content] if whole is None else [content, _judge_whole(whole, parts, authority, title)]


def _judge_whole(
    whole: WholeCrl, parts: Mapping[str, bytes], authority: CertificateAuthority, title: str
) -> Finding:
    told = f"{title} names the {len(whole.parts)} parts of the whole one, {whole.entries} entries"
    try:
        crl = read_crl(whole.put_together(parts), authority, longest_life=_LONGEST_LIFE)
    except RevocationListError as error:
        return problem(CHECK, f"{told}, which no decision point can serve: {error}.", _RUNBOOK)
    if len(crl.entries) == MAX_ENTRIES:
        return warning(CHECK, f"{told}: there is room for no more.", _SHORTER)
    return well(CHECK, f"{told}: it is signed by the authority, and decision points serve it.")


def _judge_content(
    crl: PublishedCrl, title: str, found: ConfigMap, now: datetime, *, is_all: bool
) -> Finding:
    made = format_time(crl.this_update)
    told = f"{title}: number {crl.number} of {made}, {len(crl.entries)} entries"
    age = now - crl.this_update
    if age > LIFETIME:
        return problem(CHECK, f"{told}, is out of date: who asks for one accepts nothing.", _RUNBOOK)
    if age > _LATE:
        return warning(CHECK, f"{told}, should have been made anew by now.", _RUNBOOK)
    if (cut := found.data.get("truncated", "")) not in {"", "false"}:
        said = f"{told}, does not hold all that is revoked ({cut})."
        return warning(CHECK, said, _SHORTER if is_all else f"{_ASK_A_DECISION_POINT} {_SHORTER}")
    return well(CHECK, f"{told}, is signed by the authority and current.")
