"""What can be wrong with an object.

AgentidError
└── ApiError
    ├── InvalidObjectError       an object that does not fit its model
    └── AdmissionSettingsError   settings that the admission rules can't be made from
"""

from agentid.errors import AgentidError


class ApiError(AgentidError):
    """Something about an API object that agentid cannot accept."""


class InvalidObjectError(ApiError):
    """An object does not fit its model; the text names each field, what was found and what is allowed."""


class AdmissionSettingsError(ApiError):
    """Settings that would change the meaning of an admission rule."""
