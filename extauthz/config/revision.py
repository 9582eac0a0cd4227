"""The revision of a configuration, as logs, metrics and Envoy's access log show it."""

import hashlib
import json
from typing import Any

from extauthz.config.schema import ConfigFile


def revision_of(file: ConfigFile) -> str:
    """A short hash of everything but the secrets, so that equal replicas show equal revisions."""
    plain = file.model_dump(mode="json")  # SecretStr dumps as asterisks
    dumped = json.dumps(_without_shared_secrets(plain), sort_keys=True, default=str)
    return hashlib.sha256(dumped.encode()).hexdigest()[:12]


def _without_shared_secrets(node: Any) -> Any:
    """The file's data without the value of any symmetric JWK."""
    if isinstance(node, dict):
        secret = "k" if node.get("kty") == "oct" else None
        return {key: _without_shared_secrets(value) for key, value in node.items() if key != secret}
    return [_without_shared_secrets(item) for item in node] if isinstance(node, list) else node
