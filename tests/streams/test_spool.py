"""Logs beyond memory and several processes: the same changes in the same order as in memory."""

import random
from functools import cache

import pytest
from typer.testing import CliRunner

from streams import replay as replaying
from streams.cli import app
from streams.knowledge_files import read_plan
from streams.partitions import judge_parts
from streams.rejects import Rejects
from streams.replay import judge_log, read_log
from streams.spool import PARTITIONS, Spool, merged, write_run
from tests.benchmarks import logs

PLAN = read_plan([])
TRANSPLANTED = [logs.person(f"t{i}", random.Random(i)) for i in range(2 * PARTITIONS)]
UNTREATED = [logs.lab(f"u{i}", f"u{i}", "2160-0", 1, "mg/dL", logs.START, logs.START) for i in range(300)]


@cache
def lines():
    """Treated and transplanted patients among others, in no order; the last event is of one who is not judged."""
    found = [*logs.treated_log(7, 8).decode().splitlines(), *TRANSPLANTED, *UNTREATED]
    random.Random(3).shuffle(found)
    return [*found, UNTREATED[0].replace('"u0"', '"late"').replace("2026-01", "2026-03")]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.ndjson"
    path.write_text("\n".join(lines()))
    return str(path)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("limit", [0, 100, 10**6])
def test_parts_say_what_memory_says(log, tmp_path, limit, jobs):
    whole = read_log(PLAN, [log], Rejects(None))
    inside = judge_log(PLAN, whole, whole.last)
    spooled = read_log(PLAN, [log], Rejects(None), spool=Spool(tmp_path), limit=limit)
    assert (spooled.spool is None) == (limit == 10**6)
    assert (spooled.last, spooled.events, spooled.awake) == (whole.last, whole.events, whole.awake)
    outside = judge_parts(PLAN, spooled, spooled.last, tmp_path, jobs)
    assert len(inside.changes) > 20
    assert list(outside.changes) == inside.changes
    assert outside.unjudged == inside.unjudged


@pytest.mark.parametrize("limit", [0, 10**6])
def test_every_fact_of_those_to_be_judged_is_judged_once(log, tmp_path, limit):
    whole = read_log(PLAN, [log], Rejects(None))
    spooled = read_log(PLAN, [log], Rejects(None), spool=Spool(tmp_path), limit=limit)
    judged = []
    judge_parts(PLAN, spooled, spooled.last, tmp_path, progress=judged.append)
    assert sorted(judged) == sorted(map(len, whole.facts.values()))


def test_facts_reach_the_spool_bit_by_bit(log, tmp_path, monkeypatch):
    """Several logs, each over the limit: what was spilled before is not lost and not counted twice."""
    spilled = []
    monkeypatch.setattr(Spool, "add", lambda self, facts: spilled.append(sum(map(len, facts.values()))))
    read_log(PLAN, [log, log, log], Rejects(None), spool=Spool(tmp_path), limit=100)
    assert len(spilled) > 2
    assert sum(spilled) == 3 * sum('"type"' in line for line in lines())


def test_the_facts_of_a_patient_lie_in_one_partition(log, tmp_path):
    spooled = read_log(PLAN, [log], Rejects(None), spool=Spool(tmp_path), limit=0)
    parts = [spooled.spool.partition(number, spooled.awake) for number in range(PARTITIONS)]
    whole = read_log(PLAN, [log], Rejects(None)).facts
    assert {patient: facts for part in parts for patient, facts in part.items()} == whole
    assert sum(map(len, parts)) == len(whole)


def test_runs_are_merged_in_order(log, tmp_path):
    whole = read_log(PLAN, [log], Rejects(None))
    changes = judge_log(PLAN, whole, whole.last).changes
    for number in range(3):
        write_run(tmp_path / f"run-{number}", changes[number::3])
    assert list(merged([tmp_path / f"run-{number}" for number in range(3)])) == changes


@pytest.mark.parametrize("more", [["--jobs", "2"], ["--jobs", "2", "--until", "2026-01-12T00:00:00Z"], []])
def test_the_command_writes_the_same_bytes(log, tmp_path, monkeypatch, more):
    until = more[2:]
    in_memory = CliRunner().invoke(app, ["replay", "--json", log, *until])
    monkeypatch.setattr(replaying.read_log, "__kwdefaults__", {**replaying.read_log.__kwdefaults__, "limit": 50})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spooled = CliRunner().invoke(app, ["replay", "--json", log, *more])
    assert (spooled.exit_code, spooled.stderr) == (0, in_memory.stderr)
    assert spooled.stdout_bytes == in_memory.stdout_bytes != b""
    assert [path.name for path in tmp_path.iterdir()] == ["log.ndjson"], "the temporary folder is removed"


def test_jobs_below_one_are_unusable(log):
    assert CliRunner().invoke(app, ["replay", log, "--jobs", "0"]).exit_code == 2
