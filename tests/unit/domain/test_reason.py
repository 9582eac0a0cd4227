"""The catalogue of reasons: closed, and every entry a proper denial in both generations."""

import re

import pytest

from extauthz.domain import reason
from extauthz.domain.reason import ALLOW_LABELS, CATALOGUE, GrpcStatus, Reason

EACH = pytest.mark.parametrize("one", CATALOGUE.values(), ids=CATALOGUE)


def test_every_constant_is_in_the_catalogue_under_its_own_name():
    constants = {name: value for name, value in vars(reason).items() if isinstance(value, Reason)}
    assert {name.lower(): value for name, value in constants.items()} == CATALOGUE
    assert not set(ALLOW_LABELS) & set(CATALOGUE)


@EACH
def test_a_reason_is_a_denial_in_both_generations(one):
    for answer in one.vpc, one.legacy:
        assert 400 <= answer.status <= 599
        assert answer.message.isascii()
        assert answer.message.isprintable()
        assert len(answer.message) < 256
        assert set(re.findall(r"\{.*?\}", answer.message)) <= {"{fact}"}
    assert one.grpc_status in GrpcStatus
    assert one.grpc_status != 0


@EACH
def test_a_vendor_code_says_the_status_that_goes_with_it(one):
    assert re.fullmatch(r"[A-Z][45]\d\d[A-Z0-9]{2}", one.vpc.code)
    assert one.vpc.code[1:4] == str(one.vpc.status)
    assert one.legacy.code == ""


@EACH
def test_a_failure_is_a_503_and_a_denial_is_none(one):
    assert one.failure is (one.vpc.status == 503)
    assert one.failure is (one.grpc_status is GrpcStatus.UNAVAILABLE)


@EACH
def test_a_reason_tells_an_operator_what_to_look_at(one):
    assert one.advice.endswith((".", "?"))


@EACH
def test_a_label_is_fit_for_metrics(one):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", one.label)
