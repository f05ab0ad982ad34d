"""How a laboratory reports: LOINC codes, units, decimals and noise of each analyte (facts.md sections 8 and 9)."""

from typing import Final, NamedTuple


class Report(NamedTuple):
    """A code and unit in which a value is reported; `factor` turns the analyte's own scale into it."""

    code: str
    unit: str
    factor: float
    decimals: int


class Assay(NamedTuple):
    """An analyte: its two reports (United States, SI), its noise as a share, and its turnaround."""

    usual: Report
    si: Report
    noise: float
    hours: tuple[float, float]


_FAST: Final = (0.6, 2.2)


def _one(code: str, unit: str, decimals: int, noise: float, hours: tuple[float, float] = _FAST) -> Assay:
    report = Report(code, unit, 1.0, decimals)
    return Assay(report, report, noise, hours)


ASSAYS: Final = {
    "creatinine": Assay(Report("2160-0", "mg/dL", 1.0, 2), Report("14682-9", "umol/L", 88.42, 0), 0.028, _FAST),
    "potassium": _one("2823-3", "mmol/L", 1, 0.012),
    "magnesium": Assay(Report("19123-9", "mg/dL", 1.0, 1), Report("2601-3", "mmol/L", 0.4114, 2), 0.018, _FAST),
    "phosphate": Assay(Report("2777-1", "mg/dL", 1.0, 1), Report("14879-1", "mmol/L", 0.3229, 2), 0.02, _FAST),
    "calcium": Assay(Report("17861-6", "mg/dL", 1.0, 1), Report("2000-8", "mmol/L", 0.2495, 2), 0.012, _FAST),
    "calcium-ionized": _one("1994-3", "mmol/L", 2, 0.012, (0.1, 0.5)),
    "albumin": Assay(Report("1751-7", "g/dL", 1.0, 1), Report("1751-7", "g/L", 10.0, 0), 0.02, _FAST),
    "anc": Assay(Report("751-8", "10*3/uL", 1.0, 2), Report("751-8", "10*9/L", 1.0, 2), 0.04, _FAST),
    "wbc": Assay(Report("6690-2", "10*3/uL", 1.0, 2), Report("6690-2", "10*9/L", 1.0, 2), 0.02, _FAST),
    "neutrophil-percent": _one("770-8", "%", 1, 0.0),
    "lymphocytes": Assay(Report("731-0", "10*3/uL", 1.0, 2), Report("731-0", "10*9/L", 1.0, 2), 0.06, _FAST),
    "platelets": Assay(Report("777-3", "10*3/uL", 1.0, 0), Report("777-3", "10*9/L", 1.0, 0), 0.03, _FAST),
    "hemoglobin": Assay(Report("718-7", "g/dL", 1.0, 1), Report("718-7", "g/L", 10.0, 0), 0.012, _FAST),
    "cd4": _one("24467-3", "/uL", 0, 0.08, (24, 60)),
    "tacrolimus-level": _one("11253-2", "ng/mL", 1, 0.05, (4, 10)),
    "ciclosporin-level": _one("3520-4", "ng/mL", 0, 0.05, (4, 10)),
    "cmv-dna": _one("72493-0", "[IU]/mL", 0, 0.15, (6, 21)),
    "urine-protein": _one("2888-6", "mg/dL", 0, 0.1),
    "weight": _one("29463-7", "kg", 1, 0.004, (0.0, 0.3)),
}
WHOLE_BLOOD: Final = Report("100675-8", "[IU]/mL", 1.0, 0)
WHOLE_BLOOD_LOG: Final = Report("100676-6", "{Log_IU}/mL", 1.0, 2)
DIPSTICK: Final = "20454-5"
GRADES: Final = ((15.0, "negative"), (30.0, "trace"), (100.0, "1+"), (300.0, "2+"), (1000.0, "3+"), (1e9, "4+"))
"""A dipstick's word for urine protein below so many mg/dL."""

CHEMISTRY: Final = ("creatinine", "potassium")
SALTS: Final = ("creatinine", "potassium", "magnesium", "phosphate", "calcium", "albumin")
COUNT: Final = ("anc", "lymphocytes", "platelets", "hemoglobin")
EDTA: Final = frozenset(("potassium", "magnesium", "calcium", "calcium-ionized"))
"""What an EDTA tube spoils."""


def grade_of(protein: float) -> str:
    """The dipstick's word."""
    return next(word for below, word in GRADES if protein < below)


def three_figures(value: float) -> int:
    """A viral load as reported: three significant figures."""
    whole = round(value)
    scale = int("1" + "0" * max(0, len(str(whole)) - 3))
    return int(round(whole / scale) * scale)
