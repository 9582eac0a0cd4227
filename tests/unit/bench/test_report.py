"""The report says what was measured, and what held it back."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from bench.lanes import Lane, Result
from bench.load import Round
from bench.report import Report
from bench.scenarios import REPEATED, UNDER_OVERLOAD
from bench.traffic import REAL


def never_run() -> Round:
    raise AssertionError("a report runs no lane")


def result(name, rate, baseline="", group=REPEATED, busy=0.95, p99_us=20_000, **apart):
    lane = Lane(name, never_run, baseline, group, name.replace("_", " "), {"server": "extauthz"})
    rounds = [Round(1000, rate, 1e6 / rate, busy, 5000, 9000, p99_us, 30_000, apart) for _ in range(3)]
    return Result(lane, rounds, 80.0)


@pytest.fixture
def report():
    report = Report("make bench", "pure")
    report.results["constant_a"] = result("constant_a", 50_000, busy=0.6)
    report.results["method_a"] = result("method_a", 20_000, "constant_a")
    report.results["real"] = result("real", 15_000, group=REAL)
    over = {"offered": 40_000.0, "refused": 9_000.0, "broken": 10_000.0, "nothing": 4_000.0, "driver_busy": 0.3}
    report.results["peak"] = result("peak", 20_000, group=UNDER_OVERLOAD, p99_us=10_000)
    report.results["over"] = result("over", 17_000, "peak", UNDER_OVERLOAD, **over)
    return report


@pytest.fixture
def written(report, tmp_path):
    report.note_limits()
    report.write(tmp_path)
    return tmp_path


def test_a_lane_stands_in_one_row_with_what_it_is_a_share_of(written):
    rows = [line for line in (written / "latest.md").read_text().splitlines() if line.startswith("| method a")]
    assert [cell.strip() for cell in rows[0].split("|")[1:5]] == ["method a", "20,000", "50,000", "0.40"]
    assert len(rows) == 1
    assert "| constant a" not in (written / "latest.md").read_text()


def test_one_line_names_every_lane_that_was_held_back(written):
    lines = [line for line in (written / "latest.md").read_text().splitlines() if "flatter; read" in line]
    assert len(lines) == 1
    assert "`constant_a`" in lines[0]
    assert "`peak`" not in lines[0]


def test_overload_shows_what_became_of_every_check(written):
    row = next(line for line in (written / "latest.md").read_text().splitlines() if line.startswith("| over"))
    assert [cell.strip() for cell in row.split("|")[2:9]] == [
        "20,000",
        "40,000",
        "17,000",
        "0.85",
        "10,000",
        "9,000",
        "4,000",
    ]


def test_a_driver_without_time_is_reported(report):
    over = {"offered": 40_000.0, "refused": 1.0, "broken": 0.0, "nothing": 1.0, "driver_busy": 0.99}
    report.results["over"] = result("over", 17_000, "peak", UNDER_OVERLOAD, **over)
    report.note_limits()
    assert any("the driver used its whole core" in note for note in report.notes)


def test_a_number_that_misses_its_target_is_marked(report, tmp_path):
    report.ratios |= {"overload_throughput_share": 0.79, "overload_latency_times": 2.0}
    report.write(tmp_path)
    text = (tmp_path / "latest.md").read_text()
    assert "| ≥ 0.8 | 0.79 | **misses** |" in text
    assert "| ≤ 5 | 2.00 | holds |" in text


def test_the_json_keeps_every_turn_and_says_which_build_was_measured(written):
    found = json.loads((written / "latest.json").read_text())
    assert found["build"] == "pure"
    assert len(found["lanes"]["over"]["rounds"]) == 3
    assert found["lanes"]["over"]["rounds"][0]["apart"]["nothing"] == 4000


def test_the_picture_is_well_formed_even_of_a_run_without_lanes(written, tmp_path):
    assert "real" in ElementTree.tostring(ElementTree.parse(written / "latest.svg").getroot(), "unicode")
    Report("make bench", "pure").write(tmp_path / "empty")
    ElementTree.parse(tmp_path / "empty" / "latest.svg")
