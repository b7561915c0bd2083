"""The Grafana dashboard as a table of panels; `make docs` writes dashboards/tinyfarm.json from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent / "dashboards" / "tinyfarm.json"
_COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "prometheus"}
_RATE = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph, or one number where `kind` is stat; `queries` are pairs of PromQL and legend."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    text: str = ""


def _quantiles(metric: str, by: str) -> tuple[tuple[str, str], ...]:
    buckets = f"sum by (le, {by}) (rate({metric}_bucket{_RATE}))"
    return tuple((f"histogram_quantile({q}, {buckets})", f"{{{{{by}}}}} p{q * 100:g}") for q in (0.5, 0.95))


def _stat(title: str, unit: str, query: str, text: str) -> Panel:
    return Panel(title, unit, ((query, ""),), kind="stat", width=4, height=4, text=text)


PANELS = (
    _stat("Processes up", "short", 'sum(up{job="tinyfarm"})', "Servers and workers that answer."),
    _stat("Jobs running", "short", "sum(tinyfarm_jobs_running)", "Over all workers."),
    _stat("Slots in use", "percentunit", "sum(tinyfarm_jobs_running) / sum(tinyfarm_slots)", "1 is a full farm."),
    _stat(
        "Jobs waiting", "short", "sum(max by (queue) (tinyfarm_queue_depth))", "Messages that no worker has fetched."
    ),
    _stat(
        "Failed or crashed, 1 h",
        "short",
        'sum(increase(tinyfarm_jobs_ended_total{how=~"failed|crashed"}[1h])) or vector(0)',
        "Runs that ended without a result.",
    ),
    _stat(
        "Answered from cache, 1 h",
        "percentunit",
        'sum(increase(tinyfarm_jobs_submitted_total{cached="true"}[1h]))'
        " / sum(increase(tinyfarm_jobs_submitted_total[1h]))",
        "Share of submitted jobs whose work had been done before.",
    ),
    Panel(
        "Jobs submitted per minute",
        "short",
        ((f"60 * sum by (kind) (rate(tinyfarm_jobs_submitted_total{_RATE}))", "{{kind}}"),),
    ),
    Panel(
        "Runs ended per minute",
        "short",
        ((f"60 * sum by (kind, how) (rate(tinyfarm_jobs_ended_total{_RATE}))", "{{kind}} {{how}}"),),
    ),
    Panel("Waiting by queue", "short", (("max by (queue) (tinyfarm_queue_depth)", "{{queue}}"),)),
    Panel("From submit to start", "s", _quantiles("tinyfarm_job_wait_seconds", "kind")),
    Panel("From start to end", "s", _quantiles("tinyfarm_job_run_seconds", "kind")),
    Panel("Slots", "short", (("sum(tinyfarm_slots)", "slots"), ("sum by (kind) (tinyfarm_jobs_running)", "{{kind}}"))),
    Panel(
        "Calls per second",
        "reqps",
        ((f"sum by (method) (rate(tinyfarm_rpcs_total{_RATE}))", "{{method}}"),),
    ),
    Panel(
        "Calls that failed, per second",
        "reqps",
        ((f'sum by (method, code) (rate(tinyfarm_rpcs_total{{code!="OK"}}{_RATE}))', "{{method}} {{code}}"),),
    ),
    Panel(
        "Time to answer, 95th percentile",
        "s",
        ((f"histogram_quantile(0.95, sum by (le, method) (rate(tinyfarm_rpc_seconds_bucket{_RATE})))", "{{method}}"),),
    ),
    Panel(
        "Simulator speed",
        "short",
        (
            (
                f"sum by (component) (rate(tinyfarm_instructions_simulated_total{_RATE}))"
                f" / sum by (component) (rate(tinyfarm_simulator_seconds_total{_RATE})) / 1e6",
                "{{component}}",
            ),
        ),
        text="Million instructions a second while a board runs.",
    ),
    Panel(
        "Samples per second",
        "short",
        (
            (f"sum(rate(tinyfarm_samples_on_board_total{_RATE}))", "board"),
            (f"sum(rate(tinyfarm_samples_on_twin_total{_RATE}))", "host twin"),
        ),
    ),
    Panel(
        "Search",
        "short",
        (
            (f"sum(rate(tinyfarm_networks_estimated_total{_RATE}))", "networks estimated / s"),
            (f"sum(rate(tinyfarm_subnets_scored_total{_RATE}))", "subnets scored / s"),
            (f"sum(rate(tinyfarm_training_steps_total{_RATE}))", "training steps / s"),
        ),
    ),
    Panel(
        "Trouble, per hour",
        "short",
        (
            ("sum by (why) (increase(tinyfarm_children_killed_total[1h]))", "child process ended: {{why}}"),
            ("sum(increase(tinyfarm_jobs_resent_total[1h]))", "message sent again"),
        ),
    ),
    Panel("CPU", "short", ((f"sum by (component) (rate(process_cpu_seconds_total{_RATE}))", "{{component}}"),)),
    Panel("Memory", "bytes", (("sum by (component) (process_resident_memory_bytes)", "{{component}}"),)),
)


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + i), "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
        for i, (expr, legend) in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 8, "lineWidth": 2, "showPoints": "never"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": targets,
    }


def dashboard() -> dict[str, Any]:
    """Return the dashboard in Grafana's JSON model: panels from left to right, a new row where one is full."""
    panels = []
    x = y = 0
    for number, panel in enumerate(PANELS, start=1):
        panels.append(_panel(number, panel, x, y))
        x += panel.width
        if x >= _COLUMNS:
            x, y = 0, y + panel.height
    return {
        "uid": "tinyfarm",
        "title": "tinyfarm",
        "tags": ["tinyfarm"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": []},
        "panels": panels,
    }


def text() -> str:
    """Return the file's text."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(text())
