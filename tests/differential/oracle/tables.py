"""The numbers and names of the documents, copied by hand: drugs, routes, analytes, units, cut-offs, renal bands."""

from fractions import Fraction

SECOND = 10**6
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
TICK = 1  # the microsecond after which what holds no longer has ended

INFO, WARNING, CRITICAL = "info", "warning", "critical"
RANK = {INFO: 0, WARNING: 1, CRITICAL: 2}

# Drugs -----------------------------------------------------------------------------------------------------------

ANTIVIRALS = ("cidofovir", "foscarnet", "ganciclovir", "letermovir", "maribavir", "valganciclovir")
GANCICLOVIRS = ("ganciclovir", "valganciclovir")
AMINOGLYCOSIDES = (
    "amikacin",
    "gentamicin",
    "kanamycin",
    "neomycin",
    "netilmicin",
    "plazomicin",
    "streptomycin",
    "tobramycin",
)
NSAIDS = (
    "celecoxib",
    "dexketoprofen",
    "diclofenac",
    "etodolac",
    "etoricoxib",
    "flurbiprofen",
    "ibuprofen",
    "indometacin",
    "ketoprofen",
    "ketorolac",
    "mefenamic acid",
    "meloxicam",
    "nabumetone",
    "naproxen",
    "oxaprozin",
    "parecoxib",
    "piroxicam",
    "sulindac",
)
NEPHROTOXINS = (
    *AMINOGLYCOSIDES,
    *NSAIDS,
    "amphotericin b",
    "colistin",
    "pentamidine",
    "polymyxin b",
    "tenofovir disoproxil",
    "vancomycin",
)
IV_ONLY = ("pentamidine", "vancomycin")  # nephrotoxic when given iv
MIMICS = ("cimetidine", "cobicistat", "dolutegravir", "trimethoprim")
WITH_LEVELS = ("ciclosporin", "everolimus", "sirolimus", "tacrolimus")
QT_DRUGS = (
    "amiodarone",
    "azithromycin",
    "ciprofloxacin",
    "clarithromycin",
    "dofetilide",
    "erythromycin",
    "haloperidol",
    "levofloxacin",
    "methadone",
    "moxifloxacin",
    "ondansetron",
    "procainamide",
    "quinidine",
    "sotalol",
)
FLUIDS = ("glucose", "ringer's lactate", "sodium chloride")
OTHERS = (
    "carbamazepine",
    "cisplatin",
    "didanosine",
    "dihydroergotamine",
    "ergotamine",
    "imipenem",
    "methotrexate",
    "phenobarbital",
    "phenytoin",
    "pimozide",
    "pitavastatin",
    "probenecid",
    "rifabutin",
    "rifampin",
    "simvastatin",
    "zidovudine",
)
INN = (*ANTIVIRALS, *NEPHROTOXINS, *MIMICS, *WITH_LEVELS, *QT_DRUGS, *FLUIDS, *OTHERS)

# USAN and other names, and RxNorm codes.
ALIASES = {
    "foscarnet sodium": "foscarnet",
    "foscavir": "foscarnet",
    "33562": "foscarnet",
    "57529": "foscarnet",
    "1734377": "foscarnet",
    "83171": "cidofovir",
    "vistide": "cidofovir",
    "4678": "ganciclovir",
    "310442": "ganciclovir",
    "388052": "ganciclovir",
    "cytovene": "ganciclovir",
    "275891": "valganciclovir",
    "313566": "valganciclovir",
    "valcyte": "valganciclovir",
    "1988648": "letermovir",
    "1988666": "letermovir",
    "1988673": "letermovir",
    "prevymis": "letermovir",
    "livtencity": "maribavir",
    "8698": "probenecid",
    "198152": "probenecid",
    "9863": "sodium chloride",
    "saline": "sodium chloride",
    "normal saline": "sodium chloride",
    "4850": "glucose",
    "dextrose": "glucose",
    "dextrose 5%": "glucose",
    "d5w": "glucose",
    "lactated ringer's": "ringer's lactate",
    "3008": "ciclosporin",
    "cyclosporine": "ciclosporin",
    "cyclosporin": "ciclosporin",
    "42316": "tacrolimus",
    "35302": "sirolimus",
    "141704": "everolimus",
    "732": "amphotericin b",
    "236594": "amphotericin b",
    "liposomal amphotericin b": "amphotericin b",
    "11124": "vancomycin",
    "1596450": "gentamicin",
    "10627": "tobramycin",
    "641": "amikacin",
    "8536": "polymyxin b",
    "2709": "colistin",
    "7994": "pentamidine",
    "2555": "cisplatin",
    "6851": "methotrexate",
    "300195": "tenofovir disoproxil",
    "5640": "ibuprofen",
    "35827": "ketorolac",
    "7258": "naproxen",
    "3355": "diclofenac",
    "indomethacin": "indometacin",
    "10829": "trimethoprim",
    "trimethoprim-sulfamethoxazole": "trimethoprim",
    "2541": "cimetidine",
    "1306284": "cobicistat",
    "1433868": "dolutegravir",
    "11413": "zidovudine",
    "5690": "imipenem",
    "imipenem-cilastatin": "imipenem",
    "3364": "didanosine",
    "36567": "simvastatin",
    "861634": "pitavastatin",
    "8331": "pimozide",
    "4025": "ergotamine",
    "3418": "dihydroergotamine",
    "2002": "carbamazepine",
    "8183": "phenytoin",
    "8134": "phenobarbital",
    "9384": "rifampin",
    "rifampicin": "rifampin",
    "55672": "rifabutin",
    "703": "amiodarone",
    "26225": "ondansetron",
}
OPHTHALMIC_PRODUCTS = ("388052",)

ROUTES = {
    **{r: r for r in ("iv", "im", "sc", "oral")},
    **dict.fromkeys(("ophthalmic", "intravitreal", "topical", "inhaled", "intralesional", "intravesical"), "local"),
    **dict.fromkeys(("otic", "nasal", "vaginal"), "local"),
    "intravenous": "iv",
    "47625008": "iv",
    "po": "oral",
    "26643006": "oral",
}
MILLIGRAMS = {"mg": Fraction(1), "g": Fraction(1000), "ug": Fraction(1, 1000), "mcg": Fraction(1, 1000)}
MILLIGRAMS_PER_KG = {
    "mg/kg": Fraction(1),
    "g/kg": Fraction(1000),
    "ug/kg": Fraction(1, 1000),
    "mcg/kg": Fraction(1, 1000),
}
MILLILITERS = {"mL": Fraction(1), "L": Fraction(1000)}

# Analytes: LOINC codes, units (spelling: factor to the analyte's scale), plausible range on that scale -----------

CELLS = {
    **dict.fromkeys(("10*3/uL", "K/uL", "10*9/L", "x10E3/uL", "10^3/uL", "10^9/L", "G/L"), Fraction(1000)),
    **dict.fromkeys(("/uL", "cells/uL", "{cells}/uL", "10*6/L", "/mm3"), Fraction(1)),
}
LOINC = {
    "2160-0": "creatinine",
    "38483-4": "creatinine",
    "14682-9": "creatinine",
    "751-8": "anc",
    "26499-4": "anc",
    "753-4": "anc",
    "770-8": "neutrophil-percent",
    "26511-6": "neutrophil-percent",
    "6690-2": "wbc",
    "26464-8": "wbc",
    "731-0": "lymphocytes",
    "26474-7": "lymphocytes",
    "24467-3": "cd4",
    "777-3": "platelets",
    "26515-7": "platelets",
    "778-1": "platelets",
    "718-7": "hemoglobin",
    "20509-6": "hemoglobin",
    "17861-6": "calcium",
    "2000-8": "calcium",
    "1994-3": "calcium-ionized",
    "1995-0": "calcium-ionized",
    "17864-0": "calcium-ionized",
    "1751-7": "albumin",
    "19123-9": "magnesium",
    "2601-3": "magnesium",
    "2823-3": "potassium",
    "6298-4": "potassium",
    "2777-1": "phosphate",
    "14879-1": "phosphate",
    "2888-6": "urine-protein",
    "5804-0": "urine-protein",
    "20454-5": "urine-protein",
    "57735-3": "urine-protein",
    "72493-0": "cmv-dna",
    "100675-8": "cmv-dna",
    "100676-6": "cmv-dna",
    "34720-3": "cmv-dna",
    "29604-6": "cmv-dna",
    "54206-8": "cmv-dna",
    "4996-5": "cmv-dna",
    "29463-7": "weight",
    "3141-9": "weight",
    "11253-2": "tacrolimus-level",
    "3520-4": "ciclosporin-level",
    "29247-4": "sirolimus-level",
    "50544-6": "everolimus-level",
}
LEVEL_UNITS = {"ng/mL": Fraction(1), "ug/L": Fraction(1)}
UNITS = {
    "creatinine": {
        "mg/dL": Fraction("88.42"),
        "umol/L": Fraction(1),
        "mmol/L": Fraction(1000),
        "mg/L": Fraction("8.842"),
    },
    "anc": CELLS,
    "neutrophil-percent": {"%": Fraction(1)},
    "wbc": CELLS,
    "lymphocytes": CELLS,
    "cd4": CELLS,
    "platelets": CELLS,
    "hemoglobin": {"g/dL": Fraction("0.6206"), "g/L": Fraction("0.06206"), "mmol/L": Fraction(1)},
    "calcium": {"mg/dL": Fraction("0.2495"), "mmol/L": Fraction(1), "meq/L": Fraction("0.5")},
    "calcium-ionized": {"mmol/L": Fraction(1), "mg/dL": Fraction("0.2495"), "meq/L": Fraction("0.5")},
    "albumin": {"g/dL": Fraction(10), "g/L": Fraction(1)},
    "magnesium": {"mg/dL": Fraction("0.4114"), "mmol/L": Fraction(1), "meq/L": Fraction("0.5")},
    "potassium": {"mmol/L": Fraction(1), "meq/L": Fraction(1)},
    "phosphate": {"mg/dL": Fraction("0.3229"), "mmol/L": Fraction(1)},
    "urine-protein": {"mg/dL": Fraction(1), "g/L": Fraction(100), "mg/L": Fraction("0.1")},
    "weight": {
        "kg": Fraction(1),
        "g": Fraction("0.001"),
        "[lb_av]": Fraction("0.45359237"),
        "lb": Fraction("0.45359237"),
    },
    "tacrolimus-level": LEVEL_UNITS,
    "ciclosporin-level": LEVEL_UNITS,
    "sirolimus-level": LEVEL_UNITS,
    "everolimus-level": LEVEL_UNITS,
}
PLAUSIBLE = {
    "creatinine": (Fraction("0.1") * Fraction("88.42"), Fraction(25) * Fraction("88.42")),
    "anc": (Fraction(0), Fraction(100_000)),
    "neutrophil-percent": (Fraction(0), Fraction(100)),
    "lymphocytes": (Fraction(0), Fraction(500_000)),
    "cd4": (Fraction(0), Fraction(5000)),
    "platelets": (Fraction(0), Fraction(3_000_000)),
    "hemoglobin": (Fraction(2) * Fraction("0.6206"), Fraction(22) * Fraction("0.6206")),
    "calcium": (Fraction(3) * Fraction("0.2495"), Fraction(18) * Fraction("0.2495")),
    "calcium-ionized": (Fraction("0.4"), Fraction("2.2")),
    "albumin": (Fraction(5), Fraction(70)),
    "magnesium": (Fraction("0.3") * Fraction("0.4114"), Fraction(10) * Fraction("0.4114")),
    "potassium": (Fraction("1.5"), Fraction(10)),
    "phosphate": (Fraction("0.3") * Fraction("0.3229"), Fraction(20) * Fraction("0.3229")),
    "weight": (Fraction(2), Fraction(350)),
}
DIPSTICK = {
    "negative": Fraction(0),
    "trace": Fraction(15),
    "1+": Fraction(30),
    "2+": Fraction(100),
    "3+": Fraction(300),
    "4+": Fraction(1000),
}

# The conventional unit of a cut-off, which units are SI, and the SI cut-off that stands for a conventional one.
CONVENTIONAL = {
    "creatinine": Fraction("88.42"),
    "calcium": Fraction("0.2495"),
    "magnesium": Fraction("0.4114"),
    "phosphate": Fraction("0.3229"),
    "hemoglobin": Fraction("0.6206"),
    "anc": Fraction(1000),
    "platelets": Fraction(1000),
    "lymphocytes": Fraction(1000),
    "cd4": Fraction(1),
    "potassium": Fraction(1),
    "calcium-ionized": Fraction(1),
    "urine-protein": Fraction(1),
}
SI_UNITS = {
    "creatinine": ("umol/L", "mmol/L"),
    "calcium": ("mmol/L",),
    "magnesium": ("mmol/L",),
    "phosphate": ("mmol/L",),
}
SI_CUT = {
    ("creatinine", Fraction("0.3")): Fraction("26.5"),
    ("creatinine", Fraction("0.5")): Fraction("44.2"),
    ("creatinine", Fraction("1.5")): Fraction("132.6"),
    ("creatinine", Fraction("4.0")): Fraction("353.6"),
    ("magnesium", Fraction("1.2")): Fraction("0.50"),
    ("magnesium", Fraction("0.9")): Fraction("0.40"),
    ("phosphate", Fraction("2.0")): Fraction("0.65"),
    ("phosphate", Fraction("1.0")): Fraction("0.32"),
    ("calcium", Fraction("8.0")): Fraction("2.00"),
    ("calcium", Fraction("7.0")): Fraction("1.75"),
}

IU, COPIES, LOG_IU, LOG_COPIES = "[IU]/mL", "{copies}/mL", "{Log_IU}/mL", "{Log_copies}/mL"
CMV_UNITS = {
    IU: IU,
    "IU/mL": IU,
    "[iU]/mL": IU,
    COPIES: COPIES,
    "copies/mL": COPIES,
    LOG_IU: LOG_IU,
    "log10 IU/mL": LOG_IU,
    "{log_IU}/mL": LOG_IU,
    LOG_COPIES: LOG_COPIES,
    "log10 copies/mL": LOG_COPIES,
}

# Renal bands, from the top: bound, whether the bound itself belongs to the band, columns (dose, interval in hours)
BANDS = {
    "foscarnet": (
        (Fraction("1.4"), False, ((60, 8), (90, 12)), ((90, 24), (120, 24))),
        (Fraction("1.0"), False, ((45, 8), (70, 12)), ((70, 24), (90, 24))),
        (Fraction("0.8"), False, ((50, 12), (50, 12)), ((50, 24), (65, 24))),
        (Fraction("0.6"), False, ((40, 12), (80, 24)), ((80, 48), (105, 48))),
        (Fraction("0.5"), False, ((60, 24), (60, 24)), ((60, 48), (80, 48))),
        (Fraction("0.4"), True, ((50, 24), (50, 24)), ((50, 48), (65, 48))),
    ),
    "ganciclovir": (
        (Fraction(70), True, ((5, 12),), ((5, 24), (6, 24))),
        (Fraction(50), True, ((Fraction("2.5"), 12),), ((Fraction("2.5"), 24),)),
        (Fraction(25), True, ((Fraction("2.5"), 24),), ((Fraction("1.25"), 24),)),
        (Fraction(10), True, ((Fraction("1.25"), 24),), ((Fraction("0.625"), 24),)),
        (Fraction(0), True, ((Fraction("1.25"), 56),), ((Fraction("0.625"), 56),)),  # three times a week
    ),
    "valganciclovir": (
        (Fraction(60), True, ((900, 12),), ((900, 24),)),
        (Fraction(40), True, ((450, 12),), ((450, 24),)),
        (Fraction(25), True, ((450, 24),), ((450, 48),)),
        (Fraction(10), True, ((450, 48),), ((450, 84),)),  # twice weekly
    ),
}
TABLET = Fraction(450)
