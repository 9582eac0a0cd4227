"""Reasons that are no judgement: stores, overload, audit, and whatever we could not decide."""

from typing import Final

from extauthz.reasons.story import Story

STORIES: Final[dict[str, Story]] = {
    "replay_share_full": Story(
        ("One app (for jtis: one plug-in) holds its share of the nonce store: a flood, a load test, a loop.",),
        ("`extauthz_replay_share_refused_total{holder}` names it.",),
        ("Talk to its owner, or disable it; all others are served.", "Raise `replay: {share}` or `capacity`."),
        "a client that signs 10,000 requests a second",
        "operations.md",
    ),
    "replay_store_full": Story(
        ("More live nonces than `replay: {capacity}`: each lives for a window after its timestamp.",),
        ("`extauthz_replay_entries` of `extauthz_replay_capacity`.",),
        ("Raise `capacity`: requests a second with a nonce, times twice the window in seconds.", "Narrow the window."),
        "1,000 signed requests a second, a window of 15 minutes, `capacity: 100000`",
        "operations.md",
    ),
    "replay_store_unavailable": Story(
        ("Redis did not answer in time, refused the password, or is failing over.",),
        ("The process log; `extauthz_replay_*` metrics; `redis-cli PING` from the same machine.",),
        ("Mend it: checks without a nonce go on meanwhile.",
         "For an API that must not stop: `replay_outage: allow`, which lets replays pass while it lasts."),
        "a signed call while Redis is down",
        "operations.md",
    ),
    "overloaded": Story(
        ("More checks were in flight than `limits: {in_flight}`: too few workers, or a slow shared store.",
         "Envoy's deadline had passed before the check began."),
        ("`extauthz_checks_in_flight`, `extauthz_check_duration_seconds`, the processors.",),
        ("More workers (`--workers N`) or replicas, and Envoy's cluster as `extauthz envoy-cluster` prints it.",
         "A circuit breaker in Envoy a little below the limit."),
        "a burst of 10,000 requests at one worker",
        "operations.md",
    ),
    "peer_refused": Story(
        ("The client certificate of whoever asks is none of `listen[].tls: {allowed_clients}`.",),
        ("The process log names the certificate's names.",),
        ("Add the name (a DNS name, a URI or a SPIFFE id) to `allowed_clients`, if it is an Envoy of yours.",),
        "a check from an Envoy with another certificate",
        "operations.md",
    ),
    "audit_unavailable": Story(
        (("`decision_log: {audit: required}`, and the log cannot be written: disk full, permissions, a pipe without "
         "reader."),
         "Its queue is full: decisions come faster than the disk takes lines."),
        ("`extauthz_decision_log_failing`, `_waiting` of `_capacity`; the process log says why a write failed.",),
        ("Make room, or mend the pipe: it ends by itself.", "Or accept lost lines: `audit: best_effort`."),
        "a full disk under `audit: required`",
        "decision-log.md",
    ),
    "registry_unavailable": Story(
        ("A host that has just started has never seen the registry, and its database does not answer.",
         "An entry of this host's replica is damaged, or sealed with a master key that this host does not have."),
        ("`/readyz`, `registry`, says which; `detail` in the log.",),
        ("Mend the way to the database; what was seen once serves on without it.",
         "`master_keys` must hold the key that sealed the entries, on every host."),
        "a new replica while PostgreSQL is down",
        "registry.md",
    ),
    "internal_error": Story(
        ("A defect of ours. It denies, and names no cause to the caller.",),
        ("The process log has type and place of the exception, with the request id of the answer.",),
        ("Report it, with that line and what was asked.",),
        "none is known",
        "operations.md",
    ),
}  # fmt: skip
"""By label."""
