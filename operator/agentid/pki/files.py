"""The files in which a workload finds its X.509-SVID: SPIFFE's names, and those that TLS software knows."""

from typing import Final

from agentid.pki.spiffe_id import TrustDomain
from agentid.pki.svid import X509Svid

CERTIFICATE_CHAIN_FILE: Final = "tls.crt"
PRIVATE_KEY_FILE: Final = "tls.key"
BUNDLE_FILE: Final = "ca.crt"
CREDENTIAL_BUNDLE_FILE: Final = "credential-bundle.private-key.pem"
"""SPIFFE filesystem draft: the key (PKCS#8), then the chain without its root."""


def secret_files(svid: X509Svid) -> dict[str, bytes]:
    """Return file names, each a valid key of a Secret, and the contents that deliver `svid`.

    Raises:
        InvalidSpiffeIdError: no key of a Secret can name the trust domain's bundle.
    """
    return {
        CERTIFICATE_CHAIN_FILE: svid.certificate_chain_pem,
        PRIVATE_KEY_FILE: svid.private_key_pem,
        BUNDLE_FILE: svid.bundle_pem,
        CREDENTIAL_BUNDLE_FILE: svid.private_key_pem + svid.certificate_chain_pem,
        svid.spiffe_id.trust_domain.bundle_file_name(): svid.bundle_pem,
    }


def empty_files(trust_domain: TrustDomain) -> dict[str, bytes]:
    """Return the same names as `secret_files`, each with nothing in it: what a wiped Secret holds.

    Raises:
        InvalidSpiffeIdError: no key of a Secret can name the trust domain's bundle.
    """
    names = (
        CERTIFICATE_CHAIN_FILE,
        PRIVATE_KEY_FILE,
        BUNDLE_FILE,
        CREDENTIAL_BUNDLE_FILE,
        trust_domain.bundle_file_name(),
    )
    return dict.fromkeys(names, b"")
