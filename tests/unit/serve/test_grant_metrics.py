"""How many grants end soon: counted at the scrape, sorted once for each revision."""

from extauthz.domain.app import Grant
from extauthz.domain.request import Stage
from extauthz.serve.metrics import GrantMetrics
from tests.unit.building import APP, NOW_MS, api, snapshot

DAY_MS = 86_400_000


def ending(metrics: GrantMetrics) -> dict[str, float]:
    (family,) = metrics.collect()
    return {one.labels["days"]: one.value for one in family.samples}


def test_grants_are_counted_by_when_they_end():
    ends = [None, NOW_MS - 1, NOW_MS, NOW_MS + 1, NOW_MS + 7 * DAY_MS, NOW_MS + 8 * DAY_MS, NOW_MS + 31 * DAY_MS]
    apis = [api(id=f"api-{number}", path=f"/{number}") for number in range(len(ends))]
    grants = [Grant(APP.id, one.id, Stage.RELEASE, end) for one, end in zip(apis, ends, strict=True)]
    directory = snapshot(*apis, grants=grants).directory
    now_s = NOW_MS / 1000
    metrics = GrantMetrics(lambda: directory, lambda: now_s)
    assert ending(metrics) == {"0": 2, "7": 2, "30": 3}
    now_s += 2 * DAY_MS / 1000
    assert ending(metrics) == {"0": 3, "7": 2, "30": 3}
