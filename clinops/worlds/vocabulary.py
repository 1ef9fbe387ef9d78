"""The small vocabulary that a world uses: real standard concept ids, with ICD-10-CM source codes."""

from __future__ import annotations

from dataclasses import dataclass

from clinops.worlds.settings import ACTIVATION, ENGAGEMENT, OFFER

PRIMARY, TELEHEALTH, EMERGENCY, INPATIENT = range(4)
VISIT_CONCEPTS = (9202, 5083, 9203, 9201)
VISIT_SOURCE = ("primary care", "telehealth", "emergency", "inpatient")


@dataclass(frozen=True)
class Condition:
    """A diagnosis that the world can record.

    `logit` is the log-odds of having it at age 60 with average frailty, `age` the slope per ten years,
    `burden` what having it adds to the log of the need for care (chronic conditions only).
    """

    concept: int
    name: str
    snomed: str
    icd10: str
    logit: float = 0.0
    age: float = 0.0
    burden: float = 0.0


CHRONIC = (
    Condition(201826, "Type 2 diabetes mellitus", "44054006", "E11.9", 0.62, 0.20, 0.20),
    Condition(320128, "Essential hypertension", "59621000", "I10", 0.10, 0.50, 0.05),
    Condition(316139, "Heart failure", "84114007", "I50.9", -3.0, 0.70, 0.55),
    Condition(255573, "Chronic obstructive lung disease", "13645005", "J44.9", -2.6, 0.40, 0.35),
    Condition(46271022, "Chronic kidney disease", "709044004", "N18.9", -2.4, 0.60, 0.30),
    Condition(440383, "Depressive disorder", "35489007", "F32.9", -1.8, -0.05, 0.20),
    Condition(432867, "Hyperlipidemia", "55822004", "E78.5", -0.2, 0.30, 0.0),
    Condition(433736, "Obesity", "414916001", "E66.9", -1.2, -0.05, 0.05),
    Condition(317576, "Coronary arteriosclerosis", "53741008", "I25.10", -2.3, 0.60, 0.30),
    Condition(314666, "Old myocardial infarction", "1755008", "I25.2", -3.5, 0.50, 0.25),
    Condition(443454, "Cerebral infarction", "432504007", "I63.9", -3.7, 0.60, 0.30),
    Condition(321052, "Peripheral vascular disease", "400047006", "I73.9", -3.2, 0.50, 0.20),
    Condition(313217, "Atrial fibrillation", "49436004", "I48.91", -3.0, 0.80, 0.25),
    Condition(317009, "Asthma", "195967001", "J45.909", -2.4, -0.10, 0.15),
    Condition(80180, "Osteoarthritis", "396275006", "M19.90", -1.6, 0.50, 0.0),
    Condition(80809, "Rheumatoid arthritis", "69896004", "M06.9", -4.0, 0.15, 0.25),
    Condition(140673, "Hypothyroidism", "40930008", "E03.9", -2.4, 0.15, 0.0),
    Condition(4182210, "Dementia", "52448006", "F03.90", -4.6, 1.10, 0.35),
    Condition(4064161, "Cirrhosis of liver", "19943007", "K74.60", -4.6, 0.10, 0.60),
    Condition(4112853, "Malignant tumor of breast", "254837009", "C50.919", -4.6, 0.40, 0.60),
    Condition(4180790, "Malignant tumor of colon", "363406005", "C18.9", -4.9, 0.50, 0.70),
)
DIABETES, HYPERTENSION, HEART_FAILURE = 0, 1, 2

DIABETES_KINDS = (
    CHRONIC[DIABETES],
    Condition(443731, "Renal disorder due to type 2 diabetes mellitus", "420279001", "E11.29"),
    Condition(376065, "Disorder of nervous system due to type 2 diabetes mellitus", "421326000", "E11.40"),
)

NEGATIVE_CONTROLS = (
    Condition(4112343, "Acute viral pharyngitis", "195662009", "J02.8"),
    Condition(40481087, "Viral sinusitis", "444814009", "J01.90"),
    Condition(260139, "Acute bronchitis", "10509002", "J20.9"),
)
"""Recorded only at primary care and telehealth visits, which the programme leaves alone."""

ACUTE = (
    Condition(77670, "Chest pain", "29857009", "R07.9"),
    Condition(200219, "Abdominal pain", "21522001", "R10.9"),
    Condition(81902, "Urinary tract infectious disease", "68566005", "N39.0"),
    Condition(255848, "Pneumonia", "233604007", "J18.9"),
)

CONDITIONS = CHRONIC + DIABETES_KINDS[1:] + NEGATIVE_CONTROLS + ACUTE
"""Every condition; the records hold positions in this tuple until they are written."""


@dataclass(frozen=True)
class Drug:
    """A drug that the world can dispense, given to `share` of those with the chronic condition `when`."""

    concept: int
    name: str
    rxnorm: str
    when: int
    share: float
    price: float
    days: int = 90


DRUGS = (
    Drug(1503297, "metformin", "6809", 0, 0.50, 24.0),
    Drug(1502905, "insulin glargine", "274783", 0, 0.14, 640.0),
    Drug(793143, "semaglutide", "1991302", 0, 0.035, 2400.0),
    Drug(1308216, "lisinopril", "29046", 1, 0.45, 18.0),
    Drug(1332418, "Amlodipine", "17767", 1, 0.25, 17.0),
    Drug(956874, "furosemide", "4603", 2, 0.60, 16.0),
    Drug(1154343, "Albuterol", "435", 3, 0.60, 95.0),
    Drug(739138, "sertraline", "36437", 5, 0.45, 22.0),
    Drug(1545958, "atorvastatin", "83367", 6, 0.50, 26.0),
    Drug(1501700, "levothyroxine", "10582", 16, 0.75, 30.0),
)

OTHER_CONCEPTS: tuple[tuple[int, str, str, str, str, str | None, str], ...] = (
    (0, "No matching concept", "Metadata", "None", "Undefined", None, "No matching concept"),
    (8507, "MALE", "Gender", "Gender", "Gender", "S", "M"),
    (8532, "FEMALE", "Gender", "Gender", "Gender", "S", "F"),
    (8527, "White", "Race", "Race", "Race", "S", "5"),
    (8516, "Black or African American", "Race", "Race", "Race", "S", "3"),
    (8515, "Asian", "Race", "Race", "Race", "S", "2"),
    (38003563, "Hispanic or Latino", "Ethnicity", "Ethnicity", "Ethnicity", "S", "Hispanic"),
    (38003564, "Not Hispanic or Latino", "Ethnicity", "Ethnicity", "Ethnicity", "S", "Not Hispanic"),
    (9202, "Outpatient Visit", "Visit", "Visit", "Visit", "S", "OP"),
    (9203, "Emergency Room Visit", "Visit", "Visit", "Visit", "S", "ER"),
    (9201, "Inpatient Visit", "Visit", "Visit", "Visit", "S", "IP"),
    (5083, "Telehealth", "Visit", "CMS Place of Service", "Visit", "S", "02"),
    (44818668, "United States dollar", "Currency", "Currency", "Currency", "S", "USD"),
    (32810, "Claim", "Type Concept", "Type Concept", "Type Concept", "S", "32810"),
    (32813, "Claim enrolment record", "Type Concept", "Type Concept", "Type Concept", "S", "32813"),
    (32815, "Death Certificate", "Type Concept", "Type Concept", "Type Concept", "S", "32815"),
    (32817, "EHR", "Type Concept", "Type Concept", "Type Concept", "S", "32817"),
    (32869, "Pharmacy claim", "Type Concept", "Type Concept", "Type Concept", "S", "32869"),
    (OFFER, "Programme offer", "Observation", "Site", "Observation", None, "PROGRAMME-OFFER"),
    (ACTIVATION, "Programme activation", "Observation", "Site", "Observation", None, "PROGRAMME-ACTIVATION"),
    (ENGAGEMENT, "Programme engagement", "Observation", "Site", "Observation", None, "PROGRAMME-ENGAGEMENT"),
)

VOCABULARIES = (
    ("None", "OMOP Standardized Vocabularies", "Excerpt for simulated records"),
    ("SNOMED", "Systematic Nomenclature of Medicine", "http://www.snomed.org/"),
    ("RxNorm", "RxNorm", "http://www.nlm.nih.gov/research/umls/rxnorm/"),
    ("Visit", "OMOP Visit", "OMOP generated"),
    ("CMS Place of Service", "Place of Service Codes", "http://www.cms.gov/"),
    ("Gender", "OMOP Gender", "OMOP generated"),
    ("Race", "Race and Ethnicity Code Set", "http://www.cdc.gov/"),
    ("Ethnicity", "OMOP Ethnicity", "OMOP generated"),
    ("Currency", "International Currency Symbol", "http://www.iso.org/"),
    ("Type Concept", "OMOP Type Concept", "OMOP generated"),
    ("Site", "Concepts of the simulated site", "clinops"),
)


def concepts() -> list[tuple[int, str, str, str, str, str | None, str]]:
    """Return the rows of `concept` (id, name, domain, vocabulary, class, standard, code), by id."""
    rows = list(OTHER_CONCEPTS)
    rows += [(c.concept, c.name, "Condition", "SNOMED", "Clinical Finding", "S", c.snomed) for c in CONDITIONS]
    rows += [(d.concept, d.name, "Drug", "RxNorm", "Ingredient", "S", d.rxnorm) for d in DRUGS]
    return sorted(rows)


def ancestors() -> list[tuple[int, int, int]]:
    """Return (ancestor, descendant, levels): every standard concept and itself, and the kinds of diabetes."""
    rows = [(row[0], row[0], 0) for row in concepts() if row[5] == "S"]
    rows += [(CHRONIC[DIABETES].concept, kind.concept, 1) for kind in DIABETES_KINDS[1:]]
    return sorted(rows)
