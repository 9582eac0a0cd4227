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
    "signed_front_vs_grpcio": Target(3.0, True, "signed, on the front, times grpcio, by processor time"),
    "signed_tls_vs_plain": Target(0.90, True, "signed over TLS, share of plain text, by processor time"),
    "signed_redis_vs_memory": Target(
        0.60, True, "signed with nonces in Redis, share of those in memory, by processor time"
    ),
    "signed_apps_1000000_vs_10": Target(
        0.80, True, "signed by 1,000,000 apps at random, share of one app, by processor time"
    ),
    "signed_apis_10000_vs_10": Target(0.90, True, "signed, 10,000 APIs, share of 10, by processor time"),
    "jwt_unseen_cpu_us": Target(100.0, False, "JWT never seen before, served: microseconds of processor time"),
    "signed_at_a_quarter_p99_ms": Target(3.0, False, "signed, at a quarter of the peak: p99, ms"),
    "redis_at_half_p99_ms": Target(5.0, False, "signed, nonces in Redis, at half of their peak: p99, ms"),
    "reload_p99_ms": Target(10.0, False, "signed at 1,000 a second while 100,000 apps are reloaded: p99, ms"),
    "longest_pause_ms": Target(10.0, False, "longest gap of the event loop while 100,000 apps are reloaded, ms"),
    "envoy_digest_vs_envoy_constant": Target(0.85, True, "through Envoy, share of Envoy with a constant answer"),
    "worker_share_least": Target(0.45, True, "the less busy of two workers behind Envoy, share of the load"),
    "worker_share_most": Target(0.55, False, "the busier of two workers behind Envoy, share of the load"),
    "overload_throughput_share": Target(0.80, True, "front under twice its peak: decided, share of the peak"),
    "overload_latency_times": Target(
        5.0, False, "front under twice its peak: p99 of the decided, times p99 at the peak"
    ),
    "overload_unanswered_share": Target(0.01, False, "front under twice its peak: no answer in time, share of all"),
    "grpcio_overload_throughput_share": Target(0.80, True, "grpcio under twice its peak: decided, share of the peak"),
    "grpcio_overload_latency_times": Target(5.0, False, "grpcio under twice its peak: p99, times p99 at the peak"),
    "grpcio_overload_unanswered_share": Target(0.01, False, "grpcio under twice its peak: no answer in time, of all"),
    "servicer_digest_get_us": Target(25.0, False, "digest GET, bytes to bytes, microseconds"),
    "servicer_appcode_us": Target(15.0, False, "AppCode, bytes to bytes, microseconds"),
}

WORDS: Final = {
    "workers_2_vs_1": "two workers, times the throughput of one, Envoy and load on the same two cores",
    "reload_p999_ms": "signed at 1,000 a second while 100,000 apps are reloaded: p99.9, ms",
    "signed_half_p99_ms": "signed, at half of the peak: p99, ms",
    "jwt_first_seen_servicer_vs_rs256": "JWT never seen before, without transport, share of RS256 alone",
    "jwt_first_seen_servicer_vs_rs256_in_pyjwt": "the same of RS256 in PyJWT",
    "rs256_verify_us": "one RS256 verification, microseconds",
    "rs256_in_pyjwt_us": "the same in PyJWT, with its decoding, microseconds",
    "digest_get_compiled_vs_pure": "digest GET compiled, times pure Python",
    "appcode_compiled_vs_pure": "AppCode compiled, times pure Python",
    "jwt_repeated_compiled_vs_pure": "JWT seen before compiled, times pure Python",
}
"""Other numbers that the report shows. Those that stand in its tables as well are only printed and in latest.json."""
