"""The doctor: reads the user's own Envoy, Istio or Envoy Gateway configuration and names what would hurt."""

from extauthz.doctor.examine import RULES, examine
from extauthz.doctor.file import Documents, UnreadableError, read
from extauthz.doctor.finding import Finding, Rule, Severity, Spot
from extauthz.doctor.service import ServiceFacts, facts_from

__all__ = [
    "RULES",
    "Documents",
    "Finding",
    "Rule",
    "ServiceFacts",
    "Severity",
    "Spot",
    "UnreadableError",
    "examine",
    "facts_from",
    "read",
]
