"""Makes the dashboards: `python deploy/grafana/make.py` writes deploy/grafana/dashboards/*.json."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCE = {"type": "prometheus", "uid": "prometheus"}
JOB = '{job=~"$job"}'
# The canary and the deliverer of a worker's job are scraped as jobs of its name and an ending.
CANARY = '{job=~"($job)(-canary)?"}'
DELIVER = '{job=~"($job)(-deliver)?"}'

Steps = list[tuple[str, float | None]]
"""Colors, each from a value on; the first from anything below the second."""
Panel = tuple[str, str, str, list[tuple[str, str]]] | tuple[str, str, str, list[tuple[str, str]], Steps]


def good_below(bad: float, warns: float | None = None) -> Steps:
    """Green, then orange where there is something to look at, then red."""
    return [("green", None), *([] if warns is None else [("orange", warns)]), ("red", bad)]


def _risen(counter: str, within: str) -> str:
    """By how much a counter of rare things has risen; one that is new begins at 1, which is no increase."""
    return f"({counter}{JOB} - {counter}{JOB} offset {within} >= 0) or {counter}{JOB}"


DUTY: list[Panel] = [
    (
        "Workers up",
        "stat",
        "short",
        [("sum(up" + JOB + ") or vector(0)", "")],
        # With one alone nobody takes over.
        [("red", None), ("orange", 1), ("green", 2)],
    ),
    (
        "Down or not ready",
        "stat",
        "short",
        # One that is down says nothing of itself: none of which anything is heard is no zero.
        [("count(up" + JOB + ") - (sum(cmvigil_ready" + JOB + ") or vector(0))", "")],
        good_below(1),
    ),
    (
        "Patients watched",
        "stat",
        "short",
        [("sum(cmvigil_patients" + JOB + ") or vector(0)", "")],
        [("red", None), ("green", 1)],
    ),
    (
        "Messages behind (page: 10,000)",
        "stat",
        "short",
        [("cmvigil:consumer_lag_messages:sum" + JOB, "{{job}}")],
        good_below(10000, 1000),
    ),
    (
        "Dead letters in a day",
        "stat",
        "short",
        [("sum(increase(cmvigil_dead_letters_total" + JOB + "[1d]))", "")],
        good_below(100, 0.5),
    ),
    (
        "Skipped messages, within a day",
        "stat",
        "short",
        # Skipped right after a start, before the first scrape: no increase would show it.
        [("sum(max_over_time(cmvigil_skipped_messages_total" + JOB + "[1d])) or vector(0)", "")],
        good_below(0.5),
    ),
    (
        "Since every canary was seen (1: an interval; page: 1.25)",
        "stat",
        "short",
        [
            (
                "(time() - min(cmvigil_canary_last_success_timestamp_seconds"
                + CANARY
                + ")) / max(cmvigil_canary_interval_seconds"
                + CANARY
                + ")",
                "",
            )
        ],
        good_below(1.25, 1.1),
    ),
    (
        "Changes that wait for a sink",
        "stat",
        "short",
        [("sum(cmvigil_sink_pending" + DELIVER + ")", "")],
        good_below(1000, 100),
    ),
    (
        "Oldest of them, by sink (page: 5 min)",
        "stat",
        "s",
        [("max by (sink) (cmvigil_sink_oldest_pending_age_seconds" + DELIVER + ")", "{{sink}}")],
        good_below(300, 60),
    ),
    (
        "Put aside by a sink",
        "stat",
        "short",
        [("max by (sink) (cmvigil_sink_refused" + DELIVER + ")", "{{sink}}")],
        good_below(1),
    ),
    (
        "Detection latency (objective: 99 % within 2.5 s)",
        "timeseries",
        "s",
        [
            (
                f"histogram_quantile({q}, sum by (le) (rate(cmvigil_detection_latency_seconds_bucket{JOB}"
                "[$__rate_interval])))",
                f"p{round(q * 100)}",
            )
            for q in (0.5, 0.99)
        ],
    ),
    (
        "Share of changes later than 2.5 s",
        "timeseries",
        "percentunit",
        [("cmvigil:detection_slow:ratio_rate1h" + JOB, "1 h")],
    ),
    (
        "Messages behind, by topic",
        "timeseries",
        "short",
        [("sum by (topic) (cmvigil_consumer_lag_messages" + JOB + ")", "{{topic}}")],
    ),
    (
        "Events, by type and outcome",
        "timeseries",
        "ops",
        [
            (
                "sum by (type, outcome) (rate(cmvigil_events_total" + JOB + "[$__rate_interval])) > 0",
                "{{type}} {{outcome}}",
            )
        ],
    ),
    (
        "Age of what is not durable, and of what is not sent",
        "timeseries",
        "s",
        [
            ("max(cmvigil_unacknowledged_age_seconds" + JOB + ")", "not durable"),
            ("max(cmvigil_outbox_age_seconds" + JOB + ")", "not sent"),
        ],
    ),
    (
        "Clock, behind the wall",
        "timeseries",
        "s",
        [("max by (instance) (cmvigil_clock_age_seconds" + JOB + ")", "{{instance}}")],
    ),
    (
        "Due times judged late by (p99)",
        "timeseries",
        "s",
        [
            (
                "histogram_quantile(0.99, sum by (le) (rate(cmvigil_due_delay_seconds_bucket"
                + JOB
                + "[$__rate_interval])))",
                "p99",
            )
        ],
    ),
    (
        "Recovering, rebalances and restarts",
        "timeseries",
        "short",
        [
            ("sum(cmvigil_recovering" + JOB + ")", "recovering"),
            ("sum(increase(cmvigil_rebalances_total" + JOB + "[$__rate_interval]))", "rebalances"),
            ("sum(changes(cmvigil_start_time_seconds" + JOB + "[$__rate_interval]))", "restarts"),
        ],
    ),
    (
        "Dead letters, by reason",
        "timeseries",
        "short",
        [("sum by (reason) (increase(cmvigil_dead_letters_total" + JOB + "[$__rate_interval]))", "{{reason}}")],
    ),
    (
        "Canary: from sending to the alert (p99), and courses whose alert stayed away",
        "timeseries",
        "s",
        [
            ("histogram_quantile(0.99, sum by (le) (rate(cmvigil_canary_seconds_bucket" + CANARY + "[3h])))", "p99"),
            (
                f"sum(increase(cmvigil_canary_sent_total{CANARY}[3h]))"
                f" - sum(increase(cmvigil_canary_seen_total{CANARY}[3h]))",
                "away",
            ),
        ],
    ),
    (
        "Time to decode a message, and to judge it (p99)",
        "timeseries",
        "s",
        [
            (
                f"histogram_quantile(0.99, sum by (le) (rate(cmvigil_{what}_seconds_bucket{JOB}[$__rate_interval])))",
                what,
            )
            for what in ("decoding", "judging")
        ],
    ),
    (
        "Delivered and refused, by sink (cmvigil deliver)",
        "timeseries",
        "ops",
        [
            (
                "sum by (sink, outcome) (rate(cmvigil_sink_deliveries_total"
                '{job=~"($job)(-deliver)?",outcome=~"delivered|refused"}[$__rate_interval]))',
                "{{sink}} {{outcome}}",
            )
        ],
    ),
    (
        "Attempts that failed and come again, by sink",
        "timeseries",
        "ops",
        [
            (
                "sum by (sink) (rate(cmvigil_sink_deliveries_total"
                '{job=~"($job)(-deliver)?",outcome="later"}[$__rate_interval]))',
                "{{sink}}",
            ),
            (
                "sum by (sink) (rate(cmvigil_sink_resends_total"
                '{job=~"($job)(-deliver)?",outcome!="delivered"}[$__rate_interval]))',
                "{{sink}}, told anew",
            ),
        ],
    ),
    (
        "Changes that wait, and that were put aside, by sink",
        "timeseries",
        "short",
        [
            ("max by (sink) (cmvigil_sink_pending" + DELIVER + ")", "{{sink}} waits"),
            ("max by (sink) (cmvigil_sink_refused" + DELIVER + ")", "{{sink}} refused"),
            ("max(cmvigil_sink_lag_messages" + DELIVER + ")", "not read of alert-log"),
        ],
    ),
    (
        "Age of the oldest change that waits, by sink (page: 5 min)",
        "timeseries",
        "s",
        [("max by (sink) (cmvigil_sink_oldest_pending_age_seconds" + DELIVER + ")", "{{sink}}")],
    ),
    (
        "From the monitor's saying so to the delivery (p99), by sink",
        "timeseries",
        "s",
        [
            (
                "histogram_quantile(0.99, sum by (le, sink) "
                f"(rate(cmvigil_sink_delay_seconds_bucket{DELIVER}[$__rate_interval])))",
                "{{sink}}",
            )
        ],
    ),
    (
        "Sent on because nobody acted, by next sink",
        "timeseries",
        "short",
        [("sum by (sink) (increase(cmvigil_sink_escalations_total" + DELIVER + "[$__rate_interval]))", "{{sink}}")],
    ),
]
CLINIC: list[Panel] = [
    (
        "Open, critical",
        "stat",
        "short",
        [('sum(cmvigil_open_alerts{job=~"$job",severity="critical"}) or vector(0)', "")],
        good_below(1),
    ),
    (
        "Open, warning",
        "stat",
        "short",
        [('sum(cmvigil_open_alerts{job=~"$job",severity="warning"}) or vector(0)', "")],
        [("green", None), ("orange", 1)],
    ),
    (
        "Overdue tests open",
        "stat",
        "short",
        [('sum(cmvigil_open_alerts{job=~"$job",code=~"overdue-.*|baseline-labs-missing"}) or vector(0)', "")],
        [("green", None), ("orange", 1)],
    ),
    (
        "Open alerts, by code and severity",
        "timeseries",
        "short",
        [("sum by (code, severity) (cmvigil_open_alerts" + JOB + ")", "{{code}} ({{severity}})")],
    ),
    (
        "Overdue tests open, by code",
        "timeseries",
        "short",
        [
            (
                'sum by (code) (cmvigil_open_alerts{job=~"$job",code=~"overdue-.*|baseline-labs-missing"})',
                "{{code}}",
            )
        ],
    ),
    (
        "Time to act: from raising to the first thing done, within a day",
        "timeseries",
        "s",
        [
            (
                f"histogram_quantile({q}, sum by (le, severity) "
                f"(increase(cmvigil_raised_to_action_seconds_bucket{JOB}[1d])))",
                f"{{{{severity}}}}, p{round(q * 100)}",
            )
            for q in (0.5, 0.9)
        ],
    ),
    (
        "Overridden in a day, by reason",
        "timeseries",
        "short",
        [("sum by (reason) (" + _risen("cmvigil_overrides_total", "1d") + ") > 0", "{{reason}}")],
    ),
    (
        "Overridden in a week, by code",
        "timeseries",
        "short",
        [("sum by (code) (" + _risen("cmvigil_overrides_total", "7d") + ") > 0", "{{code}}")],
    ),
    (
        "Raised in a day, by code",
        "timeseries",
        "short",
        [("sum by (code) (cmvigil:raised:increase1d" + JOB + ")", "{{code}}")],
    ),
    (
        "Raised per 100 patient-days, over 7 days",
        "timeseries",
        "short",
        [("sum by (job) (cmvigil:raised_per_100_patient_days:rate7d" + JOB + ")", "{{job}}")],
    ),
    (
        "What pharmacists did",
        "timeseries",
        "short",
        [
            (
                'sum by (status) (increase(cmvigil_alert_changes_total{job=~"$job",'
                'status=~"acknowledged|snoozed|overridden|reopened"}[$__rate_interval]))',
                "{{status}}",
            )
        ],
    ),
    (
        "From collection to recording (median)",
        "timeseries",
        "s",
        [
            (
                "histogram_quantile(0.5, sum by (le) (rate(cmvigil_laboratory_lag_seconds_bucket"
                + JOB
                + "[$__rate_interval])))",
                "median",
            )
        ],
    ),
]
RULES: list[Panel] = [
    (
        "Raised in a day, by code",
        "timeseries",
        "short",
        [("sum by (code) (cmvigil:raised:increase1d" + JOB + ")", "{{code}}")],
    ),
    (
        "Raised per 100 patient-days, over 7 days, by code",
        "timeseries",
        "short",
        [("cmvigil:raised_per_100_patient_days:rate7d" + JOB, "{{code}}")],
    ),
    (
        "Against what the site's history lets expect (1: as expected)",
        "timeseries",
        "short",
        [
            (
                "cmvigil:raised_per_100_patient_days:rate7d"
                + JOB
                + " / on (job, code) max by (job, code) (cmvigil:expected_raised_per_100_patient_days"
                + JOB
                + " > 0)",
                "{{code}}",
            )
        ],
    ),
    (
        "Outside the 95 % interval of what is expected (-1: below, 1: above)",
        "timeseries",
        "short",
        [
            (
                "(cmvigil:raised_per_100_patient_days:rate7d"
                + JOB
                + " > bool on (job, code) max by (job, code) (cmvigil:expected_raised_per_100_patient_days:high"
                + JOB
                + ")) - on (job, code) (cmvigil:raised_per_100_patient_days:rate7d"
                + JOB
                + " < bool on (job, code) max by (job, code) (cmvigil:expected_raised_per_100_patient_days:low"
                + JOB
                + "))",
                "{{code}}",
            )
        ],
    ),
    (
        "Against the two weeks before (1: as before)",
        "timeseries",
        "short",
        [
            (
                "sum by (code) (cmvigil:raised:increase1d"
                + JOB
                + ") / (sum by (code) (increase(cmvigil_alert_changes_total"
                '{job=~"$job",status="raised"}[14d] offset 1d)) / 14)',
                "{{code}}",
            )
        ],
    ),
    (
        "Taken back, by code",
        "timeseries",
        "short",
        [
            (
                "sum by (code) (increase(cmvigil_alert_changes_total"
                '{job=~"$job",status="retracted"}[$__rate_interval]))',
                "{{code}}",
            )
        ],
    ),
    (
        "Workers by ruleset, and the ruleset of the expectation",
        "timeseries",
        "short",
        [
            ("count by (ruleset) (cmvigil_build_info" + JOB + ")", "{{ruleset}}"),
            (
                "max by (ruleset) (cmvigil:expected_raised_per_100_patient_days" + JOB + " * 0 + 1)",
                "expected under {{ruleset}}",
            ),
        ],
    ),
    (
        "Codes that no rule watches, and units that are not known",
        "timeseries",
        "ops",
        [
            (
                "topk(10, sum by (kind, code) (rate(cmvigil_unmapped_codes_total" + JOB + "[$__rate_interval])))",
                "{{kind}} {{code}}",
            ),
            (
                "topk(10, sum by (code, unit) (rate(cmvigil_unmapped_units_total" + JOB + "[$__rate_interval])))",
                "{{code}} in {{unit}}",
            ),
        ],
    ),
    (
        "Size of a state when written (p99)",
        "timeseries",
        "bytes",
        [
            (
                "histogram_quantile(0.99, sum by (le) (rate(cmvigil_state_bytes_bucket" + JOB + "[$__rate_interval])))",
                "p99",
            )
        ],
    ),
]


def dashboards() -> dict[str, Any]:
    """The dashboards by name."""
    return {
        "duty": _dashboard("duty", "cmvigil: duty", DUTY),
        "clinic": _dashboard("clinic", "cmvigil: clinic", CLINIC),
        "rules": _dashboard("rules", "cmvigil: rules", RULES),
    }


def _dashboard(name: str, title: str, panels: list[Panel]) -> dict[str, Any]:
    made, x, y, height = [], 0, 0, 0
    for number, (heading, kind, unit, targets, *colors) in enumerate(panels, 1):
        width, tall = (4, 4) if kind == "stat" else (12, 8)
        if x + width > 24 or (height and tall != height):
            x, y = 0, y + height
        height = tall
        made.append(
            {
                "id": number,
                "title": heading,
                "type": kind,
                "datasource": SOURCE,
                "gridPos": {"x": x, "y": y, "w": width, "h": tall},
                "fieldConfig": {
                    "defaults": {"unit": unit, **({} if "-1:" in heading else {"min": 0}), **_colored(colors)},
                    "overrides": [],
                },
                **({"options": {"colorMode": "background", "graphMode": "none"}} if colors else {}),
                "targets": [
                    {"refId": chr(65 + i), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
                    for i, (expression, legend) in enumerate(targets)
                ],
            }
        )
        x += width
    job = {
        "name": "job",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(cmvigil_ready, job)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "uid": f"cmvigil-{name}",
        "title": title,
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "utc",
        "tags": ["cmvigil"],
        "templating": {"list": [job]},
        "panels": made,
    }


def _colored(colors: list[Steps]) -> dict[str, Any]:
    """The part of a panel's defaults that colors it; what is not heard of is neither good nor bad, and says so."""
    return {
        key: value
        for steps in colors
        for key, value in {
            "color": {"mode": "thresholds"},
            "noValue": "not heard of",
            "thresholds": {"mode": "absolute", "steps": [{"color": color, "value": at} for color, at in steps]},
        }.items()
    }


if __name__ == "__main__":
    for name, made in dashboards().items():
        (HERE / "dashboards" / f"{name}.json").write_text(json.dumps(made, indent=2) + "\n")
