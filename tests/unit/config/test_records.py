"""What is recorded of checks: the configuration refuses an audit with holes, and names that mean nothing."""

import pytest
import yaml

from extauthz.config import ConfigError, load

BASE = {"listen": [{"address": "127.0.0.1:9191"}], "groups": [{"id": "g", "domains": ["*"]}]}


def problems(tmp_path, **more):
    file = tmp_path / "extauthz.yaml"
    file.write_text(yaml.safe_dump(BASE | more))
    try:
        load(file)
    except ConfigError as error:
        return "\n".join(map(str, error.problems))
    return ""


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, ""),
        ({"audit": "required"}, ""),
        ({"destination": {"file": "x"}, "rotate": {"max_mebibytes": 1}}, ""),
        ({"sample_reasons": {"nonce_used": 0.1, "asked_again": 0}}, ""),
        ({"sample_reasons": {"nonce_usd": 0.1}}, "is not a known reason"),
        ({"sample_allowed": 1.5}, "sample_allowed"),
        ({"rotate": {"max_mebibytes": 1}}, "only a file can be rotated"),
        ({"audit": "required", "destination": "none"}, "needs a log"),
        ({"audit": "required", "sample_allowed": 0.5}, "records every decision"),
        ({"audit": "required", "sample_reasons": {"nonce_used": 0.5}}, "records every decision"),
    ],
)
def test_a_decision_log_that_would_not_do_what_it_says_is_refused(tmp_path, section, said):
    found = problems(tmp_path, decision_log=section)
    assert (said in found) if said else (found == "")


def test_a_collector_key_that_cannot_be_obtained_is_a_mistake_of_the_file(tmp_path):
    tracing = {"endpoint": "http://localhost:4318/v1/traces", "headers": {"X-Key": {"env": "NOT_SET_ANYWHERE"}}}
    assert "NOT_SET_ANYWHERE is not set" in problems(tmp_path, tracing=tracing)
