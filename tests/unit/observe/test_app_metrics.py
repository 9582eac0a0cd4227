"""Decisions by app: only of apps that proved who they are, and only so many of them."""

from extauthz.domain import reason
from extauthz.domain.app import App
from extauthz.domain.decision import Allow, Deny, Subject
from extauthz.observe.app_metrics import AppMetrics
from extauthz.observe.check_metrics import OTHER
from tests.unit.building import api, record_of


def counted(metrics: AppMetrics) -> dict[tuple[str, str], float]:
    (family,) = metrics.collect()
    assert family.name == "extauthz_app_checks"
    return {(one.labels["app"], one.labels["decision"]): one.value for one in family.samples}


def about(app: App | None) -> Subject:
    return Subject(api(), None, "digest", app)


def test_allowed_and_denied_calls_are_counted_by_app():
    metrics = AppMetrics()
    for decision in (Allow("allowed", about(App("shop"))), Allow("allowed", about(App("shop")))):
        metrics.record(record_of("id", None, decision, 0.001))
    metrics.record(record_of("id", None, Deny(reason.NONCE_USED, about(App("shop"))), 0.001))
    metrics.record(record_of("id", None, Allow("allowed", about(App("other-shop"))), 0.001))
    assert counted(metrics) == {("shop", "allow"): 2, ("shop", "deny"): 1, ("other-shop", "allow"): 1}


def test_who_has_proved_nothing_makes_no_series():
    metrics = AppMetrics()
    metrics.record(record_of("id", None, Deny(reason.APP_KEY_UNKNOWN, about(None)), 0.001))
    assert counted(metrics) == {}


def test_past_the_bound_apps_are_counted_together():
    metrics = AppMetrics(most=2)
    for name in ("a", "b", "c", "d", "c", "a"):
        metrics.record(record_of("id", None, Allow("allowed", about(App(name))), 0.001))
    assert counted(metrics) == {("a", "allow"): 2, ("b", "allow"): 1, (OTHER, "allow"): 3}
