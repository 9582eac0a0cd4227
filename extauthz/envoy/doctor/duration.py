"""Durations as Envoy (``0.5s``), Go and Kubernetes (``1m30s``, ``500ms``) write them."""

import re
from typing import Any, Final

_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(h|ms|us|ns|m|s)")


def seconds(value: Any) -> float | None:
    """A duration in seconds; None when there is none or it cannot be read.

    ``{seconds: 1, nanos: 0}`` is read too: some tools print protobuf durations so.
    """
    if isinstance(value, dict):
        try:
            return float(value.get("seconds", 0)) + float(value.get("nanos", 0)) * 1e-9
        except (TypeError, ValueError):
            return None
    if not isinstance(value, str) or not value:
        return None
    parts = _PART.findall(value)
    if "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)
