"""Whether the certificate authority can sign, and for how long; of its Secret only what is public is told."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from agentid.api.names import AUTHORITY_SECRET
from agentid.cluster.authority_store import authority_material
from agentid.cluster.connection import Body
from agentid.cluster.errors import AuthorityStoreError, ForbiddenError
from agentid.cluster.paths import SECRETS
from agentid.doctor.finding import Finding, problem, unseen, warning, well
from agentid.doctor.look import Look
from agentid.pki.authority import INTERMEDIATE_LIFETIME, CertificateAuthority
from agentid.pki.errors import IntermediateExpiredError, InvalidSpiffeIdError, PkiError
from agentid.pki.signing_certificate import ROOT, read_certificate
from agentid.pki.spiffe_id import SpiffeId, TrustDomain

CHECK: Final = "authority"
_RENEWAL_IS_LATE: Final = timedelta(days=7)
_BEGIN_ANEW: Final = (
    f"Restore Secret {AUTHORITY_SECRET} from a backup; without one, delete it and start the operator "
    "again: it "
    "makes a new authority, and all who verify need its ca.crt (docs/operations.md, The certificate "
    "authority)."
)


@dataclass(frozen=True, slots=True)
class AuthoritySeen:
    """What is public of an authority that can sign."""

    trust_domain: str
    root_serial: str
    root_end: datetime
    intermediate_serial: str
    intermediate_end: datetime
    renewal_due: datetime


async def look_at_authority(look: Look, namespace: str, now: datetime) -> list[Finding]:
    """Read the authority's Secret and judge it; its keys are compared with the certificates and dropped."""
    try:
        secret = await look.find(SECRETS, namespace, AUTHORITY_SECRET)
    except ForbiddenError:
        said = (
            f"You may not read Secret {namespace}/{AUTHORITY_SECRET}, so its dates and chain are not known."
        )
        remedy = (
            "Look at agentid_ca_expiration_timestamp_seconds and /readyz of the operator, or ask as "
            "an administrator."
        )
        return [unseen(CHECK, said, remedy)]
    return judge_authority(secret, namespace, now)


def judge_authority(secret: Body | None, namespace: str, now: datetime) -> list[Finding]:
    """Say whether what the Secret holds can sign at `now`."""
    title = f"Secret {namespace}/{AUTHORITY_SECRET}"
    if secret is None:
        said = f"{title} is not there: the operator has not started yet, or somebody deleted it."
        remedy = (
            "If credentials were issued before, restore it from a backup; otherwise start the "
            "operator, which makes it."
        )
        return [problem(CHECK, said, remedy)]
    try:
        seen = _read(secret, now)
    except IntermediateExpiredError as error:
        return [
            problem(
                CHECK,
                f"{title}: {error}.",
                "Start the operator: it renews the intermediate when it loads it.",
            )
        ]
    except (AuthorityStoreError, PkiError) as error:
        return [problem(CHECK, f"{title} cannot be signed with: {_short(error)}.", _BEGIN_ANEW)]
    return judge_times(seen, now)


def judge_times(seen: AuthoritySeen, now: datetime) -> list[Finding]:
    """Say whether the certificates of an authority that can sign end soon."""
    told = (
        f"Trust domain {seen.trust_domain}: root {seen.root_serial} until {seen.root_end:%Y-%m-%d}, "
        "intermediate "
        f"{seen.intermediate_serial} until {seen.intermediate_end:%Y-%m-%d}; chain, profile and keys fit."
    )
    if seen.root_end - now < INTERMEDIATE_LIFETIME:
        remedy = "Plan the change of root now: docs/operations.md, The certificate authority."
        return [warning(CHECK, f"{told} The root is in its last year.", remedy)]
    if now - seen.renewal_due > _RENEWAL_IS_LATE:
        said = f"{told} The intermediate should have been renewed on {seen.renewal_due:%Y-%m-%d}."
        return [
            warning(
                CHECK, said, "See the operator's log for `authority not loaded`; a restart renews it too."
            )
        ]
    return [well(CHECK, told)]


def authority_in(secret: Body, now: datetime) -> CertificateAuthority:
    """Return the authority that a Secret holds.

    Raises:
        AuthorityStoreError: it does not hold what it should.
        PkiError: what it holds cannot sign at `now`.
    """
    material = authority_material(secret)
    root = read_certificate(material.root_certificate, ROOT)
    return CertificateAuthority.load(material, _trust_domain(root), now)


def _read(secret: Body, now: datetime) -> AuthoritySeen:
    authority = authority_in(secret, now)
    return AuthoritySeen(
        trust_domain=str(authority.trust_domain),
        root_serial=f"{authority.root.serial_number:x}",
        root_end=authority.root.not_valid_after_utc,
        intermediate_serial=f"{authority.intermediate.serial_number:x}",
        intermediate_end=authority.not_after,
        renewal_due=authority.intermediate_renewal_due,
    )


def _trust_domain(root: x509.Certificate) -> TrustDomain:
    """Return the trust domain that the root names itself by."""
    try:
        names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise InvalidSpiffeIdError("the root certificate names no trust domain") from error
    if len(uris) != 1:
        raise InvalidSpiffeIdError("the root certificate names no trust domain, or more than one")
    return SpiffeId.parse(uris[0]).trust_domain


def _short(error: Exception) -> str:
    return str(error).partition("; restore it from a backup")[0]
