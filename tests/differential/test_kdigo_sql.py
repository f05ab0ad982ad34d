"""KDIGO staging against an independent implementation in SQL, on every creatinine of two hospitals' databases.

Each patient is given foscarnet from the first creatinine on, so that every result is staged: the first creatinine is
then the baseline (the lowest of the 7 d before the first dose, that moment included) and the last value before it.
DuckDB reads the files by itself and works in exact decimals.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from monitor.advance import advance, receive
from monitor.events import AdministrationEvent, Gate, LabEvent
from monitor.patient import Patient
from monitor.rules.aki import figures_of
from streams.knowledge_files import read_plan

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PLAN = read_plan([])
START = datetime(2000, 1, 1, tzinfo=UTC)

MIMIC = f"""
select subject_id::varchar as patient, date_diff('minute', min(time) over (partition by subject_id), time) as minute,
  value::decimal(12, 4) as value
from '{DATA}/mimic-iv-demo-meds/mimic_iv_demo_meds_events.parquet'
where code = 'LAB//50912//mg/dL' and value between 0.1 and 25
"""
EICU = f"""
select patientunitstayid::varchar as patient,
  labresultoffset::int - min(labresultoffset::int) over (partition by patientunitstayid) as minute,
  labresult::decimal(12, 4) as value
from read_csv('{DATA}/eicu-demo/lab.csv', all_varchar = true)
select_where
"""

STAGES = """
with raw as ({source}),
points as (
  -- Whole ten-thousandths of mg/dL: a division would give doubles, in which 1.4 - 1.1 is less than 0.3. Results of one
  -- moment are one: their mean.
  select patient, minute, sum((value * 10000)::bigint) // count(*) as v from raw group by patient, minute
),
lows as (
  select now.patient, now.minute, now.v,
    min(before.v) filter (before.minute >= now.minute - 2 * 1440) as low_2d,
    min(before.v) as low_7d
  from points now
  left join points before on before.patient = now.patient and before.minute < now.minute
    and before.minute >= now.minute - 7 * 1440
  group by all
),
firsts as (select patient, arg_min(v, minute) as first from points group by patient),
criteria as (
  select lows.patient, minute, v, coalesce(v - low_2d >= 3000, false) as risen,
    -- Against the lowest of 7 d, and against the baseline where it is above the last value before the first dose.
    least(coalesce(low_7d, 1000000000), case when v > first then first else 1000000000 end) as base
  from lows join firsts using (patient)
)
select patient, minute, case
    when not risen and 2 * v < 3 * base then 0
    when v >= 40000 or v >= 3 * base then 3
    when v >= 2 * base then 2
    else 1 end as stage
from criteria order by patient, minute
"""


def staged_by_monitor(results):
    """Stages by minute of one patient's creatinines."""
    gate = Gate(PLAN)
    facts = []
    for i, (minute, value) in enumerate(results):
        at = (START + timedelta(minutes=minute)).isoformat()
        facts.append(gate.admit(LabEvent(f"L{i}", "p", at, "2160-0", at, float(value), "mg/dL")))
    last = max(minute for minute, _ in results)
    for i, minute in enumerate(range(0, last + 1, 3 * 1440)):
        at = (START + timedelta(minutes=minute)).isoformat()
        facts.append(gate.admit(AdministrationEvent(f"A{i}", "p", at, "foscarnet", at, at, 6000, "mg", "iv")))
    p = Patient(PLAN, "p")
    receive(p, facts)
    advance(p, max(fact.recorded for fact in facts))
    (rule,) = (rule for rule in PLAN.rules if rule.code == "aki")
    p.judging = p.folds[rule.slot]
    series = p.series[PLAN.creatinine]
    zero = series.t[0]
    return {
        (at - zero) // 60_000_000: figures_of(rule.judge.args[0], p, series, i).stage for i, at in enumerate(series.t)
    }


@pytest.mark.shared
@pytest.mark.parametrize("name", ["mimic", "eicu"])
def test_every_creatinine_is_staged_as_in_sql(name):
    if not DATA.is_dir():
        pytest.skip("real data: ../shared/data is not there")
    if name == "mimic":
        source = MIMIC
    else:
        source = EICU.replace(
            "select_where", "where labname = 'creatinine' and labresult::decimal(12, 4) between 0.1 and 25"
        )
    raw = {}
    for patient, minute, value in duckdb.sql(source).fetchall():
        raw.setdefault(patient, []).append((minute, value))
    by_sql = {}
    for patient, minute, stage in duckdb.sql(STAGES.format(source=source)).fetchall():
        by_sql.setdefault(patient, {})[minute] = stage
    compared, differing = 0, []
    for patient, stages in by_sql.items():
        found = staged_by_monitor(raw[patient])
        compared += len(stages)
        differing += [
            (patient, minute, stage, found.get(minute))
            for minute, stage in stages.items()
            if found.get(minute) != stage
        ]
    assert compared > 900
    assert differing == []
    assert {stage for stages in by_sql.values() for stage in stages.values()} == {0, 1, 2, 3}


def test_sql_sees_both_sides_of_each_criterion():
    """The judge is judged: a column of small cases worked by hand."""
    cases = [((0, 1.0), (60, 1.29), 0), ((0, 1.1), (60, 1.4), 1), ((0, 1.0), (60, 2.0), 2), ((0, 1.4), (60, 4.2), 3)]
    for i, (first, second, stage) in enumerate(cases):
        values = ", ".join(f"('p', {minute}, {value}::decimal(12, 4))" for minute, value in (first, second))
        source = f"select * from (values {values}) as t(patient, minute, value)"
        assert duckdb.sql(STAGES.format(source=source)).fetchall()[1][2] == stage, i
