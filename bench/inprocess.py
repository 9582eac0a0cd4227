"""The servicer without a transport: microseconds from request bytes to answer bytes, and what RS256 itself costs."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from jwt import PyJWK
from jwt.algorithms import RSAAlgorithm

from bench import requests
from bench.world import World
from extauthz.decide.pipeline import decide
from extauthz.domain.clock import wall_clock_ms
from extauthz.domain.request import Request
from extauthz.domain.snapshot import Snapshot
from extauthz.observe.check_metrics import CheckMetrics
from extauthz.observe.decision_log import NullDecisionLog
from extauthz.replay.memory import MemoryReplayStore
from extauthz.serve.service import Recorders
from extauthz.wire.checked import Checked, checked
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.request import read_request
from extauthz.wire.servicer import Servicer

BATCHES: Final = 15
BATCH_CALLS: Final = 200
_REPLAY_CAPACITY: Final = 1_000_000


class WrongAnswer(Exception):
    """A check was not answered as it should have been; a measurement of it would mean nothing."""


def make_servicer(snapshot: Snapshot) -> Servicer:
    """A servicer as the service has it, with metrics, without a decision log."""
    return Servicer(
        snapshot,
        MemoryReplayStore(_REPLAY_CAPACITY, share=1),
        Recorders(NullDecisionLog(), CheckMetrics(snapshot.gateway.apis)),
    )


def answer_of(servicer: Servicer, payload: bytes, method: str) -> bytes:
    """The answer to a check. Raises WrongAnswer unless it is what ``method`` should be answered with."""
    answer = servicer.check(payload)
    if not isinstance(answer, bytes):
        raise WrongAnswer(f"{method}: the answer came late")
    expect(answer, method)
    return answer


def expect(answer: bytes, method: str) -> None:
    """Raises WrongAnswer unless a serialized CheckResponse is what ``method`` should be answered with."""
    response = pb.CheckResponse.FromString(answer)
    denied = response.HasField("denied_response")
    reason = response.dynamic_metadata.fields["reason"].string_value
    wanted = "signature_mismatch" if method in requests.DENIED else "allowed"
    if method == requests.NONE:
        wanted = "anonymous"
    if denied is not (method in requests.DENIED) or (response.status.code != 0) is not denied or reason != wanted:
        raise WrongAnswer(f"{method}: answered with status {response.status.code}, reason {reason or 'none'}")


def outcome_of(answer: bytes) -> str:
    """The reason of an answer, as Envoy's access log would show it; the status has to agree with it."""
    response = pb.CheckResponse.FromString(answer)
    reason: str = response.dynamic_metadata.fields["reason"].string_value
    if (response.status.code == 0) is not (reason in ("allowed", "anonymous")):
        raise WrongAnswer(f"status {response.status.code} with reason {reason or 'none'}")
    return reason


def is_decided(answer: bytes) -> bool:
    """Whether a digest GET was allowed, and not refused for want of time. Raises WrongAnswer when it is neither."""
    response = pb.CheckResponse.FromString(answer)
    refused = response.denied_response.status.code == 503
    if refused and response.status.code and response.dynamic_metadata.fields["reason"].string_value == "overloaded":
        return False
    expect(answer, requests.DIGEST_GET)
    return True


def servicer_us(world: World, snapshot: Snapshot) -> dict[str, float]:
    """Microseconds of processor time a check, bytes to bytes, by method; the median of batches."""
    servicer = make_servicer(snapshot)
    found: dict[str, float] = {}
    for method in requests.METHODS:
        payload = requests.check_request(world, method)
        answer_of(servicer, payload, method)
        found[method] = _repeated_us(lambda payload=payload: servicer.check(payload))  # type: ignore[misc]
    return found


def first_seen_us(snapshot: Snapshot, payloads: Sequence[bytes], method: str = requests.JWT) -> float:
    """Microseconds of processor time a check, for payloads that are all different and new to the servicer."""
    servicer = make_servicer(snapshot)
    answers: list[bytes] = []
    started = time.thread_time_ns()
    for payload in payloads:
        answers.append(servicer.check(payload))  # type: ignore[arg-type]  # noqa: PERF401  timed as it stands
    us = (time.thread_time_ns() - started) / 1000 / len(payloads)
    for answer in answers:
        expect(answer, method)
    return us


def decision_call(world: World, snapshot: Snapshot, method: str) -> Callable[[], object]:
    """The pure decision about one request, to be called over and over: request object to decision."""
    request = _read(requests.check_request(world, method), snapshot)
    now_ms = wall_clock_ms()
    return lambda: decide(request, snapshot, now_ms)


def record_of(world: World, snapshot: Snapshot, method: str) -> Checked:
    """The record of a check."""
    request = _read(requests.check_request(world, method), snapshot)
    decision = decide(request, snapshot, wall_clock_ms())
    return checked("0A1B2C3D-1E2F-4A5B-8C6D-7E8F9A0B1C2D", 0.0, request.network, request, decision, snapshot, "r1")


def rs256_us(world: World) -> float:
    """Microseconds of processor time that the verification of one RS256 signature takes by itself."""
    return _repeated_us(rs256_call(world))


def rs256_call(world: World) -> Callable[[], object]:
    """The verification of one RS256 signature with `cryptography`, nothing else: the limit of every JWT check."""
    public, message = world.token_key.public_key(), b"x" * 300
    signature = world.token_key.sign(message, PKCS1v15(), SHA256())
    return lambda: public.verify(signature, message, PKCS1v15(), SHA256())


def pyjwt_us(world: World) -> float:
    """The same inside PyJWT, which also decodes the token: what most Python services pay for a token."""
    token, key = (
        requests.make_token(world),
        PyJWK.from_dict({**RSAAlgorithm.to_jwk(world.token_key.public_key(), as_dict=True), "alg": "RS256"}),
    )
    return _repeated_us(lambda: jwt.decode_complete(token, key, algorithms=["RS256"], audience="web"))


def _read(payload: bytes, snapshot: Snapshot) -> Request:
    return read_request(pb.CheckRequest.FromString(payload), None, snapshot.gateway.settings)


def _repeated_us(call: Callable[[], object]) -> float:
    # Processor time, because others run on the machine too; the median, so that a burst of theirs does not count.
    batches = []
    for _ in range(BATCHES):
        started = time.thread_time_ns()
        for _ in range(BATCH_CALLS):
            call()
        batches.append((time.thread_time_ns() - started) / 1000 / BATCH_CALLS)
    return statistics.median(batches)
