"""What Envoy's own jwt_authn filter verified: claims out of the check's metadata, read only when somebody asks."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value

from extauthz.wire.generated import ext_authz_pb2 as pb

NAMESPACE: Final = "envoy.filters.http.jwt_authn"
"""The only namespace that is trusted: other filters, and through them clients, may write into others."""
_EXACT: Final = 2**53


class EnvoyClaims:
    """Claims by the name under which the filter stored them (``payload_in_metadata``)."""

    __slots__ = ("_metadata", "_read")

    def __init__(self, metadata: pb.Metadata) -> None:
        self._metadata = metadata
        self._read: dict[str, Mapping[str, Any] | None] = {}

    def __call__(self, key: str) -> Mapping[str, Any] | None:
        """The claims, or None when Envoy verified no token for this request under this name."""
        if key not in self._read:
            self._read[key] = self._find(key)
        return self._read[key]

    def _find(self, key: str) -> Mapping[str, Any] | None:
        namespaces = self._metadata.filter_metadata
        if NAMESPACE not in namespaces:
            return None
        payload = namespaces[NAMESPACE].fields.get(key)
        if payload is None or payload.WhichOneof("kind") != "struct_value":
            return None
        return _mapping(payload.struct_value)


def _mapping(struct: Struct) -> dict[str, Any]:
    return {name: _plain(value) for name, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _mapping(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "number_value":
            # A Struct knows only doubles; claims that were whole numbers become whole numbers again.
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < _EXACT else number
    return None
