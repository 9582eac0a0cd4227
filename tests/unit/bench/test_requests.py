"""The benchmark measures what it says: its requests are answered as intended, its numbers can fail."""

import pytest

from bench import inprocess, requests
from bench.world import World
from extauthz.wire.generated import ext_authz_pb2 as pb


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def servicer(world, tmp_path_factory):
    return inprocess.make_servicer(world.snapshot(tmp_path_factory.mktemp("world")))


@pytest.mark.parametrize("method", requests.METHODS)
@pytest.mark.parametrize("header_map", [True, False])
def test_each_method_is_answered_as_intended(world, servicer, method, header_map):
    payload = requests.check_request(world, method, header_map=header_map)
    inprocess.expect(servicer.check(payload), method)


@pytest.mark.parametrize("method", requests.METHODS)
def test_a_wrong_answer_is_no_result(world, servicer, method):
    other = requests.REFUSED if method != requests.REFUSED else requests.DIGEST_GET
    with pytest.raises(inprocess.WrongAnswer):
        inprocess.expect(servicer.check(requests.check_request(world, other)), method)


@pytest.mark.parametrize("method", requests.METHODS)
def test_answers_to_one_request_are_equally_long(world, servicer, method):
    payload = requests.check_request(world, method)
    assert len({len(servicer.check(payload)) for _ in range(20)}) == 1


def test_a_nonce_passes_once(world, servicer):
    requests_with_one_nonce = [requests.check_request(world, requests.DIGEST_GET, nonce="n-1") for _ in range(2)]
    first, second = (servicer.check(payload) for payload in requests_with_one_nonce)
    inprocess.expect(first, requests.DIGEST_GET)
    with pytest.raises(inprocess.WrongAnswer, match="nonce_used"):
        inprocess.expect(second, requests.DIGEST_GET)


def test_different_numbers_make_different_tokens(world):
    assert requests.make_token(world, 1) != requests.make_token(world, 2)


def test_a_larger_world_knows_the_same_caller_and_as_much_more_as_asked_for(world, tmp_path):
    snapshot = world.snapshot(tmp_path, apps=1000, apis=500)
    assert snapshot.directory.sizes()["keys"] == 1000
    assert len(snapshot.gateway.apis) == 500
    inprocess.answer_of(
        inprocess.make_servicer(snapshot), requests.check_request(world, requests.DIGEST_GET), requests.DIGEST_GET
    )


def test_a_request_carries_what_envoy_sends(world):
    message = pb.CheckRequest.FromString(requests.check_request(world, requests.DIGEST_POST))
    http = message.attributes.request.http
    names = [header.key for header in http.header_map.headers]
    assert names[:4] == [":authority", ":path", ":method", ":scheme"]
    assert all(name == name.lower() for name in names)
    assert not http.headers
    assert len(http.raw_body) == requests.BODY_BYTES
