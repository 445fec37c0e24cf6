"""What can keep an identity or a certificate from being made.

AgentidError
└── PkiError
    ├── InvalidSpiffeIdError             a text that is no SPIFFE ID, or no trust domain, or unfit for its use
    ├── InvalidTimeError                 a time without a time zone
    ├── CertificateAuthorityError        keys and certificates that must not be signed with
    │   └── IntermediateExpiredError     only the intermediate's time is over: renewing it mends this
    ├── IssueRefusedError                a certificate that would break a rule, so none was made
    ├── InvalidRevocationError           what is said to be revoked can be no certificate
    └── RevocationListError              a CRL that cannot be made, or one that is not the authority's
"""

from agentid.errors import AgentidError


class PkiError(AgentidError):
    """An identity or certificate that cannot be made."""


class InvalidSpiffeIdError(PkiError):
    """A text is no SPIFFE ID or trust domain, or one that cannot serve its purpose here."""


class InvalidTimeError(PkiError):
    """A time carries no time zone, so nobody can say which instant it means."""


class CertificateAuthorityError(PkiError):
    """The certificate authority's keys and certificates must not be signed with; the text names the part."""


class IntermediateExpiredError(CertificateAuthorityError):
    """The intermediate certificate's time is over, and nothing else is wrong with it."""


class IssueRefusedError(PkiError):
    """No certificate was made, because it would break a rule; the text names the rule."""


class InvalidRevocationError(PkiError):
    """What is said to be revoked can be no certificate; the text says why."""


class RevocationListError(PkiError):
    """A CRL cannot be made as asked for, or is not one that the authority signed; the text says why."""
