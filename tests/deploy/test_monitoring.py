"""Prometheus' configuration and Grafana's dashboard against promtool and the metrics that the code has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import dashboard
from services.common.metrics import ProcessMetrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
# Labels that Prometheus adds: at the scrape (job, instance), by prometheus.yml (component), to histograms (le).
ADDED_LABELS = {"job", "instance", "component", "le"}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def dashboard_queries() -> list[str]:
    panels = json.loads(dashboard.OUTPUT.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def rule_queries() -> list[str]:
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def labels_by_series() -> dict[str, set[str]]:
    """Every series name that a scrape of one of our processes can hold, with its labels."""
    series: dict[str, set[str]] = {"up": set()}
    metrics = ProcessMetrics()
    for collector in vars(metrics).values():
        labels = set(getattr(collector, "_labelnames", ()))
        for family in getattr(collector, "describe", list)():
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            series |= {family.name + suffix: labels for suffix in suffixes}
    for family in metrics.registry.collect():
        series |= {sample.name: set(sample.labels) for sample in family.samples if sample.name not in series}
    return series


SERIES = labels_by_series()
QUERIES = sorted({*dashboard_queries(), *rule_queries()})


def names_in(query: str) -> set[str]:
    return set(re.findall(r"\b(?:tinyfarm|process|python)_\w+|\bup\b", query))


@pytest.mark.parametrize("query", QUERIES)
def test_query_reads_series_and_labels_that_exist(query: str) -> None:
    names = names_in(query)
    assert names
    assert names <= set(SERIES)
    grouped = {w for group in re.findall(r"\bby \(([^)]*)\)", query) for w in re.findall(r"\w+", group)}
    matched = {w for group in re.findall(r"\{([^}]*)\}", query) for w in re.findall(r"(\w+)\s*[=!]", group)}
    known = set().union(*(SERIES[name] for name in names))
    assert grouped | matched <= known | ADDED_LABELS


def test_dashboard_shows_every_metric_of_our_own() -> None:
    shown = set().union(*map(names_in, dashboard_queries()))
    families = {
        re.sub(r"_(bucket|sum|count|total|created)$", "", name) for name in SERIES if name.startswith("tinyfarm")
    }
    assert sorted(f for f in families if not any(name.startswith(f) for name in shown)) == []


def test_panels_do_not_overlap_and_stay_on_the_page() -> None:
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in dashboard.dashboard()["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_provisioning_fits_dashboard_and_compose() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "tinyfarm.yaml").read_text())["providers"]
    assert source["url"] == "http://prometheus:9090"
    assert {p["datasource"]["uid"] for p in dashboard.dashboard()["panels"]} == {source["uid"]}
    grafana = COMPOSE["services"]["grafana"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{dashboard.OUTPUT.name}"


def test_every_process_of_the_stack_is_scraped_on_its_metrics_port() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    (discovery,) = next(c for c in config["scrape_configs"] if c["job_name"] == "tinyfarm")["dns_sd_configs"]
    ours = {n: s for n, s in COMPOSE["services"].items() if str(s.get("image", "")).startswith("tinyfarm:")}
    assert set(discovery["names"]) == set(ours)
    assert {s["environment"]["TINYFARM_METRICS"] for s in ours.values()} == {f"0.0.0.0:{discovery['port']}"}


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")
    promtool("check", "rules", PROMETHEUS / "rules.yml")


@needs_promtool
def test_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", PROMETHEUS / "rules_test.yml")


@needs_promtool
def test_promtool_parses_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:number_{i}", "expr": query.replace("$__rate_interval", "1m")}
        for i, query in enumerate(dashboard_queries())
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")
