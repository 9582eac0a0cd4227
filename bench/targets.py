"""What has to hold, by the names under which `make bench` prints it."""

from typing import Final, NamedTuple


class Target(NamedTuple):
    """A bound, and what it is about in words."""

    bound: float
    at_least: bool
    words: str

    def holds(self, measured: float) -> bool:
        """Whether a measured number keeps the bound."""
        return measured >= self.bound if self.at_least else measured <= self.bound


TARGETS: Final = {
    "digest_get_vs_constant_native": Target(0.60, True, "digest GET, share of the same transport's constant answer"),
    "digest_get_native_vs_constant_grpcio": Target(3.0, True, "digest GET on native, times grpc.aio's constant answer"),
    "jwt_repeated_vs_constant_native": Target(0.65, True, "JWT seen before, share of the constant answer"),
    "appcode_vs_constant_native": Target(0.65, True, "AppCode, share of the constant answer"),
    "refused_vs_accepted_native": Target(1.0, True, "refused signature, times the accepted one"),
    "jwt_first_seen_native_vs_rs256": Target(0.75, True, "JWT first seen, share of what RS256 alone would allow"),
    "jwt_first_seen_servicer_vs_rs256": Target(0.75, True, "the same without transport"),
    "envoy_digest_vs_envoy_constant": Target(0.85, True, "through Envoy, share of Envoy with the constant answer"),
    "apps_1000000_vs_10": Target(0.90, True, "digest GET with 1,000,000 apps, share of that with 10"),
    "apis_10000_vs_10": Target(0.90, True, "digest GET with 10,000 APIs, share of that with 10"),
    "worker_share_least": Target(0.45, True, "the less busy of two workers behind Envoy, share of the load"),
    "worker_share_most": Target(0.55, False, "the busier of two workers behind Envoy, share of the load"),
    "overload_throughput_share": Target(0.80, True, "native under twice its peak: decided, share of the peak"),
    "overload_latency_times": Target(
        5.0, False, "native under twice its peak: p99 of the decided, times p99 at the peak"
    ),
    "overload_unanswered_share": Target(0.01, False, "native under twice its peak: no answer in time, share of all"),
    "grpcio_overload_throughput_share": Target(0.80, True, "grpcio under twice its peak: decided, share of the peak"),
    "grpcio_overload_latency_times": Target(5.0, False, "grpcio under twice its peak: p99, times p99 at the peak"),
    "grpcio_overload_unanswered_share": Target(0.01, False, "grpcio under twice its peak: no answer in time, of all"),
    "servicer_digest_get_us": Target(25.0, False, "digest GET, bytes to bytes, microseconds"),
    "servicer_appcode_us": Target(15.0, False, "AppCode, bytes to bytes, microseconds"),
}

WORDS: Final = {
    "none_vs_constant_native": "no authentication, share of the constant answer",
    "digest_post_vs_constant_native": "digest POST, share of the constant answer",
    "digest_with_nonce_vs_without": "digest GET with a nonce, share of that without",
    "workers_2_vs_1": "two workers, times the throughput of one, Envoy and load on the same two cores",
    "jwt_first_seen_native_vs_rs256_in_pyjwt": "JWT first seen, share of what RS256 in PyJWT alone would allow",
    "jwt_first_seen_servicer_vs_rs256_in_pyjwt": "the same without transport",
    "rs256_verify_us": "one RS256 verification, microseconds",
    "rs256_in_pyjwt_us": "the same in PyJWT, with its decoding, microseconds",
    "digest_get_compiled_vs_pure": "digest GET compiled, times pure Python",
    "appcode_compiled_vs_pure": "AppCode compiled, times pure Python",
    "jwt_repeated_compiled_vs_pure": "JWT seen before compiled, times pure Python",
}
"""Other numbers that the report shows. Those that stand in its tables as well are only printed and in latest.json."""
