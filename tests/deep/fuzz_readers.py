"""Fuzzes a reader with atheris: `python -m tests.deep.fuzz_readers native|fhir|log`.

CMVIGIL_FUZZ_SECONDS says for how long (60). What was found interesting stays in tests/.cache/fuzz and is begun with
the next time; an input that fails is written there too, and its path is said.
"""

import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["monitor", "streams"]):
    from tests.deep.targets import NASTY, TARGETS, seeds

ROOT = Path(__file__).parents[1] / ".cache" / "fuzz"
MEMORY = 2048
"""Megabytes of memory that no input may make the reader exceed."""
LONGEST = {"native": 4096, "fhir": 16384, "log": 4096}
"""Bytes of an input."""


def main() -> None:
    name = sys.argv[1]
    corpus = ROOT / name
    corpus.mkdir(parents=True, exist_ok=True)
    first = [*seeds(name), *(data for data in NASTY.values() if len(data) <= LONGEST[name])]
    for i, data in enumerate(first):
        (corpus / f"seed-{i}").write_bytes(data)
    seconds = os.environ.get("CMVIGIL_FUZZ_SECONDS", "60")
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST[name]}",
        f"-rss_limit_mb={MEMORY}",
        f"-artifact_prefix={ROOT}/{name}-",
        "-timeout=60",
        "-print_final_stats=1",
        "-verbosity=1",
    )
    atheris.Setup([sys.argv[0], *options, *sys.argv[2:], str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
