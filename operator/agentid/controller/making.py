"""Makes what a plan orders: the certificate, and copies of the static secrets that go beside it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agentid.api.agenttask_status import Credential
from agentid.controller.metrics import Metrics
from agentid.controller.static_secrets import StaticSecrets
from agentid.lifecycle.model import Observation
from agentid.lifecycle.plan import IssueOrder, Plan, Report
from agentid.lifecycle.reporting import issued
from agentid.pki.authority import CertificateAuthority
from agentid.pki.spiffe_id import SpiffeId
from agentid.pki.svid import X509Svid, issue_x509_svid


@dataclass(frozen=True, slots=True)
class Made:
    """What a pass writes: the report, and where one is ordered a credential with its copies."""

    report: Report | None
    svid: X509Svid | None = None
    copies: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Maker:
    """Makes credentials by the authority as it is now."""

    def __init__(
        self,
        static_secrets: StaticSecrets,
        authority: Callable[[], CertificateAuthority],
        metrics: Metrics,
        *,
        crl_url: str | None = None,
    ) -> None:
        self._static_secrets = static_secrets
        self._authority = authority
        self._metrics = metrics
        self._crl_url = crl_url

    async def make(self, observation: Observation, plan: Plan) -> Made | None:
        """Make what is ordered, and the report; None: a static secret can't be read, so decide again.

        Raises:
            PkiError: no certificate could be made.
        """
        if plan.issue is None:
            return Made(plan.report)
        copies = await self._static_secrets.copies(observation.static_secrets)
        if copies is None:
            return None
        svid = self._sign(plan.issue, observation.now)
        report = issued(observation, plan, _credential(svid, plan.issue.generation), copies.held)
        return Made(report, svid, copies.files)

    def _sign(self, order: IssueOrder, now: datetime) -> X509Svid:
        with self._metrics.signing.time():
            return issue_x509_svid(
                self._authority(),
                SpiffeId.parse(order.spiffe_id),
                now=now,
                ttl=order.ttl,
                not_after_limit=order.not_after_limit,
                crl_url=self._crl_url,
            )


def _credential(svid: X509Svid, generation: int) -> Credential:
    return Credential(
        generation=generation, serial=svid.serial, not_before=svid.not_before, not_after=svid.not_after
    )
