"""What each real or official sample of ../shared holds for the monitor: the golden table of `test_samples`.

Found, by LOINC, RxNorm or as Patient; refused, by reason; passed, by resource type or LOINC: each with its count. After
a blank in a name: `[]` an array of resources, read one by one; `lines` the FHIR lines of a log of events.
"""

Sample = dict[str, dict[str, int]]


def _counts(text: str) -> dict[str, int]:
    pairs = (part.rsplit(" ", 1) for part in text.split("; ") if part)
    return {name: int(count) for name, count in pairs}


def _sample(*, found: str, refused: str, passed: str) -> Sample:
    return {"found": _counts(found), "refused": _counts(refused), "passed": _counts(passed)}


EXPECTED: dict[str, Sample] = {
    "data/fhir-r4-examples/detectedissue-example.json": _sample(
        found="",
        refused="",
        passed="DetectedIssue 1",
    ),
    "data/fhir-r4-examples/flag-example.json": _sample(
        found="",
        refused="",
        passed="Flag 1",
    ),
    "data/fhir-r4-examples/medicationadministration0301.json": _sample(
        found="",
        refused="",
        passed="MedicationAdministration 1",
    ),
    "data/fhir-r4-examples/medicationrequest0301.json": _sample(
        found="",
        refused="",
        passed="MedicationRequest 1",
    ),
    "data/fhir-r4-examples/observation-example.json": _sample(
        found="",
        refused="effectiveDateTime: no offset 1",
        passed="",
    ),
    "data/fhir-r4-examples/subscription-example.json": _sample(
        found="",
        refused="",
        passed="Subscription 1",
    ),
    "data/synthea-r4/Josue_Sipes_7d27f180-98d6-456d-98c0-d91df32cd023.json": _sample(
        found=(
            "1751-7 1; 20454-5 2; 29463-7 26; 38483-4 29; 5804-0 2; 6298-4 29; 6690-2 2; 718-7 2; 777-3 2; Patient 1"
        ),
        refused="",
        passed=(
            "10834-0 1; 14959-1 26; 1742-6 1; 18262-6 27; 1920-8 1; 1975-2 1; 19926-5 20; 20505-4 2; 20565-8 29; "
            "2069-3 29; 2085-9 27; 2093-3 27; 21000-5 2; 2339-0 29; 2514-8 2; 25428-4 2; 2571-8 27; 2885-2 1; "
            "2947-0 29; 32167-9 2; 32207-3 2; 32623-1 2; 33914-3 29; 39156-5 26; 4544-3 2; 4548-4 26; 49765-1 29; "
            "55284-4 26; 5767-9 4; 5770-3 2; 5778-6 2; 5792-7 2; 5794-3 2; 5797-6 2; 5799-2 2; 5802-4 2; 5803-2 "
            "2; 5811-5 2; 6299-2 29; 6768-6 1; 72166-2 26; 72514-3 26; 785-6 2; 786-4 2; 787-2 2; 789-8 2; 8302-2 "
            "26; 8331-1 2; CarePlan 2; Claim 52; Condition 22; DiagnosticReport 60; Encounter 46; "
            "ExplanationOfBenefit 46; Goal 5; Immunization 13; MedicationRequest 6; Organization 2; Practitioner "
            "2; Procedure 40"
        ),
    ),
    "data/synthea-r4/Vito_Feeney_63dd4423-56ec-4f40-9dd6-82bc133aaddc.json": _sample(
        found="20454-5 2; 29463-7 37; 38483-4 39; 5804-0 2; 6298-4 39; 6690-2 2; 718-7 2; 777-3 2; Patient 1",
        refused="",
        passed=(
            "14959-1 37; 18262-6 37; 20505-4 2; 20565-8 39; 2069-3 39; 2085-9 37; 2093-3 37; 21000-5 2; 2339-0 "
            "39; 2514-8 2; 25428-4 2; 2571-8 37; 2857-1 7; 2947-0 39; 32167-9 2; 32207-3 2; 32465-7 7; 32623-1 2; "
            "33914-3 39; 39156-5 37; 4544-3 2; 4548-4 37; 46288-7 3; 49765-1 39; 55284-4 37; 5767-9 4; 5770-3 2; "
            "5778-6 2; 5792-7 2; 5794-3 2; 5797-6 2; 5799-2 2; 5802-4 2; 5803-2 2; 5811-5 2; 6299-2 39; 69453-9 "
            "1; 72166-2 37; 72514-3 37; 785-6 2; 786-4 2; 787-2 2; 789-8 2; 8302-2 37; CarePlan 2; Claim 77; "
            "Condition 15; DiagnosticReport 81; Encounter 73; ExplanationOfBenefit 73; Goal 5; ImagingStudy 1; "
            "Immunization 11; MedicationRequest 4; Organization 2; Practitioner 2; Procedure 28"
        ),
    ),
    "data/hl7v2-google-hdh/oru_r01.hl7.fhir.output.json": _sample(
        found="",
        refused="resourceType: missing 1",
        passed="",
    ),
    "data/hl7v2-google-hdh/oru_r01.hl7.fhir.output.json []": _sample(
        found="Patient 1",
        refused="",
        passed=(
            "APELV 1; Device 1; DiagnosticReport 1; Encounter 1; Location 3; MessageHeader 1; Organization "
            "6; Practitioner 3; PractitionerRole 2; ServiceRequest 1; Specimen 1"
        ),
    ),
    "data/hl7v2-google-hdh/ras_o17.hl7.fhir.output.json": _sample(
        found="",
        refused="resourceType: missing 1",
        passed="",
    ),
    "data/hl7v2-google-hdh/ras_o17.hl7.fhir.output.json []": _sample(
        found="Patient 1",
        refused="medicationReference: not in the same Bundle 1",
        passed=(
            "Device 1; Encounter 1; Medication 1; MedicationRequest 1; MessageHeader 1; Organization 4; Practitioner 2"
        ),
    ),
    "data/hl7v2-google-hdh/rde_o11.hl7.fhir.output.json": _sample(
        found="",
        refused="resourceType: missing 1",
        passed="",
    ),
    "data/hl7v2-google-hdh/rde_o11.hl7.fhir.output.json []": _sample(
        found="Patient 1",
        refused="",
        passed=(
            "99199.Z56 1; Account 1; AllergyIntolerance 3; Encounter 1; Location 2; Medication 1; MedicationRequest 2; "
            "MessageHeader 1; Organization 1"
        ),
    ),
    "cases/examples.ndjson lines": _sample(
        found="1988648 3; 2160-0 1; 275891 29; 29463-7 2; 3008 9; 751-8 2; Patient 2",
        refused="",
        passed="",
    ),
}
