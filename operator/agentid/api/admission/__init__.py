"""Admission without a webhook: the rules, whether they are installed as they should be, and in force."""

from agentid.api.admission.learned import Found, learned_settings, rule_keys
from agentid.api.admission.proof import forged_task, is_corrected, is_refused, refused_task
from agentid.api.admission.rules import AdmissionObject, differences, rule_names, rules
from agentid.api.admission.settings import AdmissionSettings, OwnerKind

__all__ = [
    "AdmissionObject",
    "AdmissionSettings",
    "Found",
    "OwnerKind",
    "differences",
    "forged_task",
    "is_corrected",
    "is_refused",
    "learned_settings",
    "refused_task",
    "rule_keys",
    "rule_names",
    "rules",
]
