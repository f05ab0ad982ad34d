"""Logs for the benchmarks: made, not recorded. Same arguments, same bytes."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 5, 6, tzinfo=UTC)

RESULTS = [
    ("2160-0", "mg/dL", 0.7, 1.5),
    ("2823-3", "mmol/L", 3.2, 5.0),
    ("19123-9", "mg/dL", 1.4, 2.4),
    ("17861-6", "mg/dL", 8.1, 10.0),
    ("2777-1", "mg/dL", 2.1, 4.5),
    ("1751-7", "g/dL", 3.0, 4.5),
    ("751-8", "10*3/uL", 1.2, 6.0),
    ("6690-2", "10*3/uL", 2.0, 9.0),
    ("777-3", "10*3/uL", 60, 300),
    ("718-7", "g/dL", 8.2, 14.0),
]
UNWATCHED = ["2345-7", "2951-2", "2075-0", "1975-2", "6768-6", "1742-6", "1920-8", "3094-0", "4544-3", "789-8"]


def iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def lab(pid: str, eid: str, code: str, value: float, unit: str, at: datetime, recorded: datetime) -> str:
    return (
        f'{{"type":"lab","event_id":"{eid}","patient_id":"{pid}","code":"{code}","value":{value:.2f},"unit":"{unit}",'
        f'"collected_at":"{iso(at)}","recorded_at":"{iso(recorded)}"}}'
    )


def dose(
    pid: str, eid: str, drug: str, amount: float, unit: str, route: str, at: datetime, end: datetime, recorded: datetime
) -> str:
    return (
        f'{{"type":"administration","event_id":"{eid}","patient_id":"{pid}","drug":"{drug}","dose":{amount:g},'
        f'"unit":"{unit}","route":"{route}","started_at":"{iso(at)}","ended_at":"{iso(end)}",'
        f'"recorded_at":"{iso(recorded)}","indication":"treatment"}}'
    )


def person(pid: str, rng: random.Random) -> str:
    return (
        f'{{"type":"patient","event_id":"{pid}-d","patient_id":"{pid}","recorded_at":"2025-12-01T08:00:00Z",'
        f'"birth_date":"{rng.randint(1940, 1995)}-03-01","sex":"{rng.choice(("male", "female"))}",'
        f'"transplant":"hct-allogeneic","transplant_at":"2025-11-20T08:00:00Z"}}'
    )


def treated_patient(pid: str, rng: random.Random, days: int) -> Iterator[tuple[datetime, str]]:
    """One patient on foscarnet, ganciclovir or valganciclovir, with the labs that go with it."""
    start = START + timedelta(minutes=rng.randrange(7 * 24 * 60))
    yield START - timedelta(days=30), person(pid, rng)
    n = 0

    def eid(kind: str) -> str:
        nonlocal n
        n += 1
        return f"{pid}-{kind}{n}"

    weight_at = start - timedelta(hours=3)
    yield weight_at, lab(pid, eid("W"), "29463-7", 70, "kg", weight_at, weight_at + timedelta(minutes=5))
    drug = rng.choice(("foscarnet", "ganciclovir", "valganciclovir"))
    for day in range(-2, days):
        drawn = start + timedelta(days=day, hours=-2, minutes=rng.randrange(60))
        reported = drawn + timedelta(minutes=rng.randrange(40, 120))
        if day % 2 == 0:
            for code, unit, low, high in RESULTS:
                yield reported, lab(pid, eid("L"), code, rng.uniform(low, high), unit, drawn, reported)
        if day % 7 == 0:
            later = reported + timedelta(hours=8)
            yield later, lab(pid, eid("V"), "72493-0", 10 ** rng.uniform(2, 4.5), "[IU]/mL", drawn, later)
        if day < 0:
            continue
        for hour in (0, 12):
            at = start + timedelta(days=day, hours=hour, minutes=rng.randrange(-30, 30))
            if drug == "foscarnet":
                fluid = at - timedelta(hours=1, minutes=10)
                yield (
                    fluid + timedelta(hours=1),
                    dose(
                        pid,
                        eid("F"),
                        "sodium chloride",
                        1000,
                        "mL",
                        "iv",
                        fluid,
                        fluid + timedelta(hours=1),
                        fluid + timedelta(hours=1, minutes=2),
                    ),
                )
                end = at + timedelta(hours=2)
                yield end, dose(pid, eid("A"), drug, 6000, "mg", "iv", at, end, end + timedelta(minutes=3))
            elif drug == "ganciclovir":
                end = at + timedelta(hours=1)
                yield end, dose(pid, eid("A"), drug, 350, "mg", "iv", at, end, end + timedelta(minutes=3))
            else:
                yield at, dose(pid, eid("A"), drug, 900, "mg", "oral", at, at, at + timedelta(minutes=3))


def dense_patient(pid: str, facts: int) -> list[str]:
    """One patient in intensive care on foscarnet: 25 facts a day, in order of recording."""
    rng = random.Random(1)
    rows = [(START - timedelta(days=30), person(pid, rng))]
    for day in range(facts // 25 + 1):
        for hour in (0, 12):
            at = START + timedelta(days=day, hours=hour, minutes=rng.randrange(30))
            fluid, end = at - timedelta(hours=1), at + timedelta(hours=2)
            rows.append((fluid, dose(pid, f"F{len(rows)}", "sodium chloride", 1000, "mL", "iv", fluid, at, at)))
            rows.append((end, dose(pid, f"A{len(rows)}", "foscarnet", 6000, "mg", "iv", at, end, end)))
        for i in range(21):
            code, unit, low, high = RESULTS[i % 10]
            at = START + timedelta(days=day, hours=i, minutes=rng.randrange(60))
            rows.append(
                (at, lab(pid, f"L{len(rows)}", code, rng.uniform(low, high), unit, at, at + timedelta(minutes=50)))
            )
    return [line for _, line in sorted(rows)[:facts]]


def treated_log(patients: int, days: int, seed: int = 1) -> bytes:
    """Every patient on therapy."""
    rng = random.Random(seed)
    rows: list[tuple[datetime, str]] = []
    for i in range(patients):
        rows += treated_patient(f"t{i:06d}", rng, days)
    rows.sort()
    return "\n".join(line for _, line in rows).encode() + b"\n"


def hospital_log(events: int, patients: int, seed: int = 1) -> bytes:
    """A hospital mix: 1 % of the patients on a watched drug, half of the labs not watched."""
    rng = random.Random(seed)
    rows: list[tuple[datetime, str]] = []
    for i in range(patients // 100):
        rows += treated_patient(f"t{i:06d}", rng, 10)
    n = 0
    while len(rows) < events:
        pid = f"u{rng.randrange(patients):06d}"
        at = START + timedelta(minutes=rng.randrange(30 * 24 * 60))
        reported = at + timedelta(minutes=rng.randrange(40, 120))
        n += 1
        if rng.random() < 0.5:
            code = rng.choice(UNWATCHED)
            rows.append((reported, lab(pid, f"U{n}", code, rng.uniform(1, 100), "mmol/L", at, reported)))
        else:
            code, unit, low, high = rng.choice(RESULTS)
            rows.append((reported, lab(pid, f"U{n}", code, rng.uniform(low, high), unit, at, reported)))
    rows.sort()
    return "\n".join(line for _, line in rows).encode() + b"\n"
