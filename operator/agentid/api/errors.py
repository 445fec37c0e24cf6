"""What can be wrong with an object.

AgentidError
└── ApiError
    └── AdmissionSettingsError   settings that the admission rules can't be made from
"""

from agentid.errors import AgentidError


class ApiError(AgentidError):
    """Something about an API object that agentid cannot accept."""


class AdmissionSettingsError(ApiError):
    """Settings that would change the meaning of an admission rule."""
