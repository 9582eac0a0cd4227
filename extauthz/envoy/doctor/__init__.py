"""The doctor: reads the user's own Envoy, Istio or Envoy Gateway configuration and names what would hurt."""

from extauthz.envoy.doctor.examine import RULES, examine
from extauthz.envoy.doctor.file import Documents, UnreadableError, read
from extauthz.envoy.doctor.finding import Finding, Rule, Severity, Spot
from extauthz.envoy.doctor.service import ServiceFacts, facts_from

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
