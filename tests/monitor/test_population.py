"""Many patients: the untreated asleep as bytes, the treated awake, each due at its moment."""

from monitor.advance import advance, receive
from monitor.patient import Patient
from monitor.population import Population
from tests.monitor.histories import DAY, facts_of, plan, random_facts, said


def baseline_lab(i, patient="u1"):
    return {
        "type": "lab",
        "event_id": f"L{i}",
        "patient_id": patient,
        "code": "2160-0",
        "value": 1.0,
        "unit": "mg/dL",
        "collected_at": f"2026-03-{i + 1:02d}T06:00:00Z",
        "recorded_at": f"2026-03-{i + 1:02d}T07:00:00Z",
    }


def test_many_patients_say_what_each_would_say_alone():
    population = Population(plan())
    alone, together = [], []
    everyone = {f"p{seed}": random_facts(seed) for seed in range(12)}
    end = max(facts[-1].recorded for facts in everyone.values()) + 30 * DAY
    for patient_id, facts in everyone.items():
        p = Patient(plan(), patient_id)
        receive(p, facts)
        alone += advance(p, end)
    arriving = sorted(((fact.recorded, patient) for patient, facts in everyone.items() for fact in facts))
    left = {patient: list(facts) for patient, facts in everyone.items()}
    for recorded, patient in dict.fromkeys(arriving):
        together += population.advance(recorded - 1)
        facts = left[patient]
        now = [fact for fact in facts if fact.recorded == recorded]
        together += population.take(patient, now, recorded)
    together += population.advance(end)
    assert len(population) == 12
    assert said(together) == said(alone)


def test_the_untreated_sleep_and_wake_with_all_they_had():
    population = Population(plan())
    for i in range(10):
        (fact,) = facts_of([baseline_lab(i)])
        assert population.take("u1", [fact], fact.recorded) == []
    assert not population._awake
    assert len(population._asleep["u1"]) < 500
    assert len(population.patient("u1").lab_facts) == 10
