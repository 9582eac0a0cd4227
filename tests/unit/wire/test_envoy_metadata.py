"""Claims out of Envoy's metadata: one namespace, plain types, nothing for those who do not ask."""

from google.protobuf.struct_pb2 import Struct

from extauthz.domain.settings import Settings
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.metadata import NAMESPACE, EnvoyClaims
from extauthz.wire.request import read_request

CLAIMS = {"sub": "alice", "exp": 1_800_000_000, "ratio": 0.5, "roles": ["a", 1, None], "deep": {"x": True}, "no": None}


def message(namespace: str = NAMESPACE, payload: object = CLAIMS) -> pb.CheckRequest:
    check = pb.CheckRequest()
    check.attributes.request.http.path = "/a"
    held = Struct()
    held.update({"claims": payload})
    check.attributes.metadata_context.filter_metadata[namespace].CopyFrom(held)
    return check


def claims(check: pb.CheckRequest, key: str = "claims") -> object:
    return EnvoyClaims(check.attributes.metadata_context)(key)


def test_claims_come_back_as_they_were_and_whole_numbers_as_whole_numbers():
    assert claims(message()) == CLAIMS
    assert isinstance(claims(message())["exp"], int)  # type: ignore[index]


def test_other_namespaces_names_and_shapes_are_no_claims():
    assert claims(message("envoy.filters.http.lua")) is None
    assert claims(message("envoy.filters.http.jwt_authn.x")) is None
    assert claims(message(), "other") is None
    assert claims(message(payload="text")) is None
    assert claims(message(payload=[CLAIMS])) is None
    assert claims(pb.CheckRequest()) is None


def test_nobody_pays_who_does_not_ask():
    assert read_request(message(), None, Settings()).envoy_claims is None
    asked = read_request(message(), None, Settings(reads_envoy_claims=True)).envoy_claims
    assert asked is not None
    assert asked("claims") == CLAIMS
