"""Where peers of this service let something through: each trap as a request, with the reason that refuses it."""

import email.utils
import time

import pytest

from tests.gateway import FORM_TYPE, Gateway, signed_headers, with_value, without

FIFTEEN_MINUTES_MS = 900_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_form_type_without_a_body_is_still_verified(gateway: Gateway):
    """A peer skipped the signature when the body of a form was empty."""
    wrong = gateway.signed("POST", "/v1/orders", content_type=FORM_TYPE, secret="wrong")
    assert (wrong.status, gateway.reason(wrong)) == (403, "signature_mismatch")
    unsigned = gateway.call("POST", "/v1/orders", [("Content-Type", FORM_TYPE)])
    assert (unsigned.status, gateway.reason(unsigned)) == (400, "credential_missing")
    assert gateway.signed("POST", "/v1/orders", content_type=FORM_TYPE).status == 200
    assert gateway.signed("GET", "/v1/orders?a=1", content_type=FORM_TYPE).status == 200


@pytest.mark.parametrize("header", ["X-Ca-Signature", "X-Ca-Key"])
def test_leaving_a_credential_out_or_empty_is_no_way_in(gateway: Gateway, header: str):
    signed = signed_headers("GET", "/v1/orders")
    for headers in (without(signed, header), with_value(signed, header, "")):
        assert gateway.call("GET", "/v1/orders", headers).status in (400, 403)


@pytest.mark.parametrize(
    "header",
    ["X-Ca-Key", "X-Ca-Signature", "X-Ca-Signature-Headers", "X-Ca-Timestamp", "X-Ca-Nonce", "X-Ca-Stage", "Date"],
)
def test_a_credential_header_that_comes_twice_is_refused(gateway: Gateway, header: str):
    signed = signed_headers("GET", "/v1/orders", stage="RELEASE", date="Tue, 14 Nov 2023 22:13:20 GMT")
    value = dict(signed)[header]
    for twice in ([*signed, (header.lower(), value)], [(header.upper(), "x"), *signed]):
        answer = gateway.call("GET", "/v1/orders", twice)
        assert (answer.status, gateway.reason(answer)) == (400, "header_repeated")


def test_two_authorization_headers_are_refused(gateway: Gateway):
    codes = [("Authorization", "APPCODE demo-app-code-0001"), ("authorization", "APPCODE demo-app-code-0002")]
    for pair in (codes, codes[::-1], [codes[0], codes[0]]):
        answer = gateway.call("GET", "/internal/report", pair, network="vpc")
        # Envoy joins this header itself, even in header_map; what it makes of two codes is no code.
        assert (answer.status, gateway.reason(answer)) == (400, "app_code_unknown")


def test_a_code_in_the_header_and_another_in_the_query_is_refused(gateway: Gateway):
    target, code = "/internal/report?appCode=demo-app-code-0002", ("Authorization", "APPCODE demo-app-code-0001")
    answer = gateway.call("GET", target, [code], network="vpc")
    assert (answer.status, gateway.reason(answer)) == (400, "credential_ambiguous")
    answer = gateway.call("GET", target + "&APPCODE=demo-app-code-0001", network="vpc")
    assert (answer.status, gateway.reason(answer)) == (400, "credential_ambiguous")
    target = target.replace("0002", "0001")
    assert gateway.call("GET", target, [code], network="vpc").status == 200
    answer = gateway.call("GET", target + "&APPCODE=demo-app-code-0002", network="vpc")
    assert (answer.status, gateway.reason(answer)) == (400, "credential_ambiguous")


class TestTimeAndNonce:
    def test_an_unsigned_timestamp_still_has_to_be_fresh(self, gateway: Gateway):
        old = now_ms() - FIFTEEN_MINUTES_MS - 60_000
        answer = gateway.signed("GET", "/v1/orders", timestamp_ms=old, unsigned=["X-Ca-Timestamp"])
        assert (answer.status, gateway.reason(answer)) == (403, "timestamp_expired")
        assert gateway.signed("GET", "/v1/orders", unsigned=["X-Ca-Timestamp"]).status == 200

    def test_renewing_an_unsigned_timestamp_does_not_renew_the_nonce(self, gateway: Gateway):
        signed = signed_headers("GET", "/v1/orders", unsigned=["X-Ca-Timestamp"])
        assert gateway.call("GET", "/v1/orders", signed).status == 200
        later = with_value(signed, "X-Ca-Timestamp", str(now_ms() + 60_000))
        answer = gateway.call("GET", "/v1/orders", later)
        assert (answer.status, gateway.reason(answer)) == (403, "nonce_used")

    @pytest.mark.parametrize("header", ["X-Ca-Timestamp", "X-Ca-Nonce"])
    def test_strict_mode_refuses_what_is_sent_but_not_signed(self, gateway: Gateway, header: str):
        answer = gateway.signed("GET", "/strict", unsigned=[header])
        assert (answer.status, gateway.reason(answer)) == (403, "strict_refused")
        assert gateway.signed("GET", "/strict").status == 200

    def test_an_api_may_demand_timestamp_nonce_and_what_is_signed(self, gateway: Gateway):
        assert gateway.signed("GET", "/demanding").status == 200
        for parts, why in (
            ({"timestamp_ms": 0}, "timestamp_required"),
            ({"nonce": ""}, "nonce_required"),
            ({"unsigned": ["X-Ca-Timestamp"]}, "signed_header_required"),
        ):
            assert gateway.reason(gateway.signed("GET", "/demanding", **parts)) == why

    def test_a_fresh_date_does_not_save_a_stale_timestamp_nor_the_other_way_round(self, gateway: Gateway):
        fresh, stale = email.utils.formatdate(usegmt=True), "Tue, 14 Nov 2023 22:13:20 GMT"
        answer = gateway.signed("GET", "/v1/orders", date=fresh, timestamp_ms=1_700_000_000_000)
        assert (answer.status, gateway.reason(answer)) == (403, "timestamp_expired")
        # The vendor documents no freshness check on Date; it is signed and nothing more.
        assert gateway.signed("GET", "/v1/orders", date=stale).status == 200

    @pytest.mark.parametrize("timestamp", ["soon", "-1", "1.5", "0x10", "1e12", "١٢٣", "9" * 40, "1700000000000,1"])
    def test_a_timestamp_that_is_no_number_of_milliseconds_is_refused(self, gateway: Gateway, timestamp: str):
        headers = with_value(signed_headers("GET", "/v1/orders"), "X-Ca-Timestamp", timestamp)
        answer = gateway.call("GET", "/v1/orders", headers)
        assert (answer.status, gateway.reason(answer)) == (400, "timestamp_invalid")


class TestSignedHeaders:
    def test_a_signed_header_that_is_missing_signs_as_empty_and_cannot_be_filled_in(self, gateway: Gateway):
        signed = signed_headers("GET", "/v1/orders", extra_signed=[("X-Role", "")])
        assert gateway.call("GET", "/v1/orders", [*signed, ("X-Role", "admin")]).code == "A403SG"
        assert gateway.call("GET", "/v1/orders", signed).status == 200
        strict = gateway.signed("GET", "/strict", extra_signed=[("X-Role", "")])
        assert (strict.status, gateway.reason(strict)) == (403, "strict_refused")

    def test_a_signed_header_that_comes_twice_signs_as_envoy_joins_it_or_by_its_first_value(self, gateway: Gateway):
        twice = [("X-Tag", "a"), ("X-Tag", "b")]
        for signed in ("a,b", "a"):
            assert gateway.signed("GET", "/v1/orders", extra=twice, extra_signed=[("X-Tag", signed)]).status == 200
        for other in ("a, b", "b"):
            answer = gateway.signed("GET", "/v1/orders", extra=twice, extra_signed=[("X-Tag", other)])
            assert gateway.reason(answer) == "signature_mismatch"
        strict = gateway.signed("GET", "/strict", extra=twice, extra_signed=[("X-Tag", "a,b")])
        assert gateway.reason(strict) == "strict_refused"

    @pytest.mark.parametrize("value", [b"caf\xe9", "café".encode(), b"\xff\xfe", "中文".encode()])
    def test_a_header_is_signed_as_the_bytes_that_arrive(self, gateway: Gateway, value: bytes):
        assert gateway.signed("GET", "/v1/orders", extra=[("X-N", value)], extra_signed=[("X-N", value)]).status == 200
        other = value[:-1] + b"!"
        answer = gateway.signed("GET", "/v1/orders", extra=[("X-N", other)], extra_signed=[("X-N", value)])
        assert gateway.reason(answer) == "signature_mismatch"

    def test_a_signed_host_is_the_host_that_was_called(self, gateway: Gateway):
        for host in ("Orders.example:8080", "127.0.0.1"):
            assert gateway.signed("GET", "/v1/orders", host=host, extra_signed=[("Host", host)]).status == 200
            for signed in ("other.example", "", host + "x"):
                answer = gateway.signed("GET", "/v1/orders", host=host, extra_signed=[("Host", signed)])
                assert gateway.reason(answer) == "signature_mismatch"

    def test_names_in_the_list_cannot_smuggle_lines_into_the_string(self, gateway: Gateway):
        signed = signed_headers("GET", "/v1/orders", extra_signed=[("/v1/orders?x", "1")])
        answer = gateway.call("GET", "/v1/orders", signed)
        assert (answer.status, gateway.reason(answer)) == (400, "header_invalid")

    def test_the_spelling_of_a_signed_name_is_part_of_the_signature(self, gateway: Gateway):
        signed = signed_headers("GET", "/v1/orders")
        lower = with_value(signed, "X-Ca-Signature-Headers", str(dict(signed)["X-Ca-Signature-Headers"]).lower())
        assert gateway.reason(gateway.call("GET", "/v1/orders", lower)) == "signature_mismatch"

    def test_a_changed_method_accept_type_or_stage_is_refused(self, gateway: Gateway):
        signed = signed_headers("GET", "/v1/orders", content_type="application/json", stage="RELEASE")
        for method, headers in (
            ("DELETE", signed),
            ("GET", with_value(signed, "Accept", "*/*")),
            ("GET", without(signed, "Accept")),
            ("GET", with_value(signed, "Content-Type", FORM_TYPE)),
            ("GET", with_value(signed, "X-Ca-Stage", "TEST")),
            ("GET", with_value(signed, "X-Ca-Nonce", "another")),
            ("GET", with_value(signed, "X-Ca-Key", "demo-app-key-0002")),
        ):
            answer = gateway.call(method, "/v1/orders", headers)
            assert (answer.status, gateway.reason(answer)) == (403, "signature_mismatch")


class TestParameters:
    def test_empty_and_missing_values_sign_alike(self, gateway: Gateway):
        for target in ("/v1/orders?k", "/v1/orders?k="):
            assert gateway.signed("GET", target, resource="/v1/orders?k").seen["path"] == target
        assert gateway.signed("GET", "/v1/orders?k=", resource="/v1/orders?k=").code == "A403SG"

    def test_of_a_repeated_parameter_the_first_value_is_signed(self, gateway: Gateway):
        target = "/v1/orders?a=1&b=2&a=3"
        assert gateway.signed("GET", target, resource="/v1/orders?a=1&b=2").status == 200
        for other in ("/v1/orders?a=3&b=2", "/v1/orders?a=1&a=3&b=2", "/v1/orders?a=1,3&b=2"):
            assert gateway.signed("GET", target, resource=other).code == "A403SG"

    @pytest.mark.parametrize(
        ("target", "resource"),
        [
            ("/strict?a=1&a=2", "/strict?a=1"),
            ("/strict?a=1%26b%3D2", "/strict?a=1&b=2"),
            ("/strict?a%3D1=2", "/strict?a=1=2"),
            ("/strict?=1", "/strict?=1"),
        ],
    )
    def test_strict_mode_refuses_requests_that_share_a_signature_with_others(
        self, gateway: Gateway, target: str, resource: str
    ):
        answer = gateway.signed("GET", target, resource=resource)
        assert (answer.status, gateway.reason(answer)) == (403, "strict_refused")

    def test_a_value_may_hold_an_escaped_ampersand(self, gateway: Gateway):
        seen = gateway.signed("GET", "/v1/orders?a=x%26y%3Dz", resource="/v1/orders?a=x&y=z").seen
        assert seen["path"] == "/v1/orders?a=x%26y%3Dz"

    def test_a_name_in_query_and_form_may_sign_either_value_as_the_sdks_do(self, gateway: Gateway):
        target, body = "/v1/orders?k=query", b"k=form"
        for value, reading in (("form", "primary"), ("query", "query_wins")):
            answer = gateway.signed("POST", target, body=body, content_type=FORM_TYPE, resource=f"/v1/orders?k={value}")
            assert answer.status == 200
            assert gateway.decision(answer)["reading"] == reading
        both = gateway.signed("POST", target, body=body, content_type=FORM_TYPE, resource="/v1/orders?k=form,query")
        assert both.code == "A403SG"
        strict = gateway.signed(
            "POST", "/strict?k=query", body=body, content_type=FORM_TYPE, resource="/strict?k=query"
        )
        assert strict.status in (400, 403)

    @pytest.mark.parametrize("changed", ["/v1/orders?a=2", "/v1/orders?a=1&b=1", "/v1/orders", "/v1/orders/a?a=1"])
    def test_a_changed_parameter_or_path_is_refused(self, gateway: Gateway, changed: str):
        answer = gateway.call("GET", changed, signed_headers("GET", "/v1/orders?a=1"))
        assert (answer.status, gateway.reason(answer)) == (403, "signature_mismatch")
