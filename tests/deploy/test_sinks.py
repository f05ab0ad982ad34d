"""What `deploy/` and `docs/sinks.md` say of the deliverer is what the program knows; its alerts fire and rest."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from streams.sinks.meters import SinkMeters
from streams.sinks.settings import (
    AlertmanagerSink,
    DeliverySettings,
    FhirSink,
    FhirTopicSink,
    Step,
    WebhookSink,
    load_delivery,
)

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "cmvigil.sinks.rules.yml"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus)")
D = '{job="cmvigil-deliver",instance="d1"'
STUCK, REFUSED = "CmvigilDeliveriesStuck", "CmvigilDeliveriesRefused"
GONE, REFUSES, COMMITS = "CmvigilNoDeliverer", "CmvigilSinkRefuses", "CmvigilCommitsFail"
AGE = f'cmvigil_sink_oldest_pending_age_seconds{D},sink="pharmacy"}}'
OTHER = f'cmvigil_sink_oldest_pending_age_seconds{D},sink="ehr"}}'
UP, READY = f"up{D}}}", f"cmvigil_sink_ready{D}}}"
WELL = {UP: "1x20", READY: "1x20", AGE: "0x20"}
UNREADABLE = f'cmvigil_sink_changes_total{D},outcome="unreadable"}}'


def attempts(delivered, refused):
    """Attempts by outcome, minute by minute; two that have to come again."""
    counts = {"delivered": delivered, "refused": refused, "later": "0x5 2x45"}
    series = f'cmvigil_sink_deliveries_total{D},sink="ehr",outcome='
    return {f'{series}"{outcome}"}}': values for outcome, values in counts.items()}


LOOKED_AT = {REFUSES: "40m", COMMITS: "25m"}
"""When, where it is not after 10 minutes."""
# alert, series, whether it fires then
CASES = [
    (STUCK, WELL, False),
    (STUCK, WELL | {AGE: "0+60x20"}, True),
    (STUCK, WELL | {OTHER: "301x20"}, True),
    (STUCK, WELL | {AGE: "300x20"}, False),
    (STUCK, WELL | {AGE: "0x7 301x1 0x9"}, False),
    (STUCK, {UP: "1x3 0x17", READY: "1x3"}, True),
    (STUCK, {UP: "1x8 0x1 1x11", READY: "1x20"}, False),
    (STUCK, WELL | {READY: "0x20"}, True),
    (REFUSED, {f'cmvigil_sink_refused{D},sink="ehr"}}': "0x5 1x15"}, True),
    (REFUSED, {f'cmvigil_sink_refused{D},sink="ehr"}}': "1x5 0x15"}, False),
    (REFUSED, {UNREADABLE: "0x5 1x15"}, True),
    (REFUSED, {UNREADABLE: "1x20"}, False),
    (COMMITS, {f"cmvigil_sink_commits_fail{D}}}": "0x5 1x30"}, True),
    (COMMITS, {f"cmvigil_sink_commits_fail{D}}}": "0x5 1x12 0x20"}, False),
    (GONE, {'up{job="cmvigil",instance="w1"}': "1x20"}, True),
    (GONE, {UP: "1x3 stale", 'up{job="cmvigil",instance="w1"}': "1x20"}, True),
    (GONE, {UP: "0x20"}, False),
    # A token that has expired: nothing arrives any more.
    (REFUSES, attempts("0+1x10 10x40", "0x10 0+1x40"), True),
    (REFUSES, attempts("0+9x50", "0+11x50"), True),
    (REFUSES, attempts("0+11x50", "0+9x50"), False),
    # For less than 15 minutes.
    (REFUSES, attempts("0x50", "0x27 1 2 3 4x20"), False),
    # A quiet hour, and one change that the receiver does not understand.
    (REFUSES, attempts("0x50", "0x15 1x35"), False),
]


@needs_promtool
@pytest.mark.slow
@pytest.mark.parametrize(("name", "series", "fires"), CASES)
def test_an_alert_fires_on_what_it_is_for_and_not_short_of_it(tmp_path, name, series, fires):
    test = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > 0 or vector(0)',
                "eval_time": LOOKED_AT.get(name, "10m"),
                "exp_samples": [{"labels": "{}", "value": 1 if fires else 0}],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_rules_are_valid():
    subprocess.run([PROMTOOL, "check", "rules", str(RULES)], check=True, capture_output=True)


def test_every_alert_has_cases_of_both_kinds_and_a_section_in_the_guide():
    names = re.findall(r"- alert: (\w+)", RULES.read_text())
    guide = (DEPLOY / "README.md").read_text()
    for name in names:
        assert {fires for one, _, fires in CASES if one == name} == {True, False}
        assert f"### {name}\n" in guide
        assert f"deploy/README.md#{name.lower()}" in RULES.read_text()


def known():
    names = set()
    for metric in SinkMeters(["pharmacy"]).registry.collect():
        names |= {metric.name, *(f"{metric.name}_{end}" for end in ("total", "bucket", "count", "sum", "info"))}
    return names


def test_every_metric_that_a_rule_or_the_documentation_names_is_one_of_the_program():
    page = (ROOT / "docs" / "sinks.md").read_text()
    named = set(re.findall(r"\bcmvigil_sink_\w+", RULES.read_text() + page))
    assert named
    assert named <= known()


def configurations():
    yield DEPLOY / "deliver.toml", (DEPLOY / "deliver.toml").read_text()
    yield DEPLOY / "deliver.compose.toml", (DEPLOY / "deliver.compose.toml").read_text()
    text = (DEPLOY / "kubernetes" / "deliver.yaml").read_text()
    block = re.search(r"deliver\.toml: \|\n((?:    .*\n)+)", text)[1]
    yield DEPLOY / "kubernetes" / "deliver.yaml", re.sub(r"(?m)^    ", "", block)
    for number, block in enumerate(
        re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "sinks.md").read_text(), re.DOTALL)
    ):
        yield f"docs/sinks.md, {number}", block


@pytest.mark.parametrize(
    ("place", "text"), [*configurations()], ids=[str(place)[-20:] for place, _ in configurations()]
)
def test_every_configuration_that_is_shown_is_one(place, text):
    assert load_delivery(None, {}, **tomllib.loads(text)).sinks


def test_the_documentation_names_every_setting_of_its_own():
    page = (ROOT / "docs" / "sinks.md").read_text()
    own = set(DeliverySettings.model_fields) - set(DeliverySettings.__base__.model_fields)
    for part in (WebhookSink, AlertmanagerSink, FhirSink, FhirTopicSink, Step):
        own |= set(part.model_fields)
    for name in own:
        assert f"`{name}`" in page, name
