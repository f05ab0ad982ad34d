"""Mutation testing of the clinical rules: small changes of the code, each of which a test should notice.

    python -m tests.deep.mutants                        a sample of CMVIGIL_MUTANTS mutants (`all` for every one)
    python -m tests.deep.mutants monitor/rules/aki.py   of one file
    python -m tests.deep.mutants monitor/rules/aki.py:judge:17   one mutant again
    CMVIGIL_MUTANTS=225-320 python -m tests.deep.mutants         a part of the sample

The changes are those of mutmut; its own runner is not used (docs/deep.md says why). Each mutant is run in a copy of
the repository, by those tests alone that run the changed line. The sample is the same at every run: mutants are taken
by the hash of their names. Texts are not mutated: tests/golden holds every word.
"""

import difflib
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import coverage
import libcst
from mutmut.mutation.file_mutation import Mutation, create_mutations

ROOT = Path(__file__).parents[2]
COPIED = ("monitor", "streams", "seeds", "tests", "docs", "README.md", "pyproject.toml")
TARGETS = sorted(
    [
        *(
            f"monitor/{name}.py"
            for name in ("baseline", "courses", "exposure", "therapy", "virology", "renal", "dosing")
        ),
        *(str(path.relative_to(ROOT)) for path in (ROOT / "monitor/rules").glob("*.py") if path.stem != "__init__"),
    ]
)
TESTS = ("tests/monitor", "tests/golden", "tests/differential/test_agreement.py")
TEXTS = "tests/golden/test_texts.py"
"""Every word of every alert; slow, so it is asked only about what the other tests let live."""
PYTEST = ("-q", "-x", "-p", "no:cacheprovider", "-p", "tests.deep.watch", "-m", "not slow and not live")
MEMORY = 4 << 30
GRACE = 20
"""Seconds that any mutant may take beyond five times what its tests took on sound code."""


class Mutant(NamedTuple):
    """A changed file: its name, the line that differs first, the whole changed text, and the change to be read."""

    name: str
    path: str
    line: int
    text: str
    change: str


class Watched(NamedTuple):
    """What a run on sound code showed: the tests of each line, the tests of each module, and their seconds."""

    of_line: dict[str, dict[int, list[str]]]
    of_module: dict[str, set[str]]
    seconds: dict[str, float]


# Making ----------------------------------------------------------------------------------------------------------


@cache
def mutations(path: str) -> tuple[libcst.Module, dict[str, Mutation]]:
    """A parsed file, and its mutations by name: file, function and number within the function."""
    module, found, _, _ = create_mutations(path, (ROOT / path).read_text())
    numbers: Counter[str] = Counter()
    named = {}
    for one in found:
        if not isinstance(one.original_node, libcst.BaseString):
            function = getattr(one.contained_by_top_level_function, "name", None)
            where = function.value if function is not None else "module"
            numbers[where] += 1
            named[f"{path}:{where}:{numbers[where]}"] = one
    return module, named


def made(name: str) -> Mutant | None:
    """The mutant of a name; None where the change changes nothing."""
    path = name.partition(":")[0]
    module, named = mutations(path)
    one = named[name]
    before, after = module.code.splitlines(), module.deep_replace(one.original_node, one.mutated_node).code
    lines = after.splitlines()
    first = next((i for i, pair in enumerate(zip(before, lines, strict=False)) if pair[0] != pair[1]), None)
    if first is None:
        return None
    change = "\n".join(line for line in difflib.unified_diff(before, lines, n=0, lineterm="") if line[:2] not in _HEADS)
    return Mutant(name, path, first + 1, after, change)


_HEADS = ("--", "++", "@@")


def sample(names: Iterable[str], budget: str) -> list[str]:
    """So many names, by their hashes: the same ones every time, and in any smaller sample before a larger."""
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    first, _, last = budget.rpartition("-")
    return ordered if budget == "all" else ordered[int(first or 0) : int(last)]


# Watching --------------------------------------------------------------------------------------------------------


def copied(folder: Path) -> Path:
    """A copy of the repository, in which a mutant may do what it likes."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(".cache", "live", "chaos"))
        else:
            shutil.copy2(source, folder / name)
    return folder


def watch(folder: Path) -> Watched:
    """Runs all tests once on sound code."""
    data, times = folder / "watched.coverage", folder / "seconds.json"
    command = [sys.executable, "-m", "coverage", "run", "--rcfile=/dev/null", "--source=monitor", f"--data-file={data}"]
    env = os.environ | {"CMVIGIL_WATCH": str(times)}
    done = subprocess.run(
        [*command, "-m", "pytest", *PYTEST, *TESTS], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"The tests fail on sound code:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    found = coverage.CoverageData(str(data))
    found.read()
    of_line = {path: found.contexts_by_lineno(str(folder / path)) for path in TARGETS}
    of_module = {path: {test for tests in lines.values() for test in tests if test} for path, lines in of_line.items()}
    return Watched(of_line, of_module, json.loads(times.read_text()))


def tests_of(mutant: Mutant, watched: Watched) -> list[str]:
    """The tests that run the changed statement, the shortest first.

    A statement over several lines stands in coverage under its first: the nearest line before is looked at. What
    runs before the tests, at import or for the plan, is left to all tests of the module.
    """
    lines = watched.of_line[mutant.path]
    line = next((at for at in range(mutant.line, 0, -1) if at in lines), 0)
    tests = set(lines.get(line, ()))
    if "" in tests or not tests:
        tests |= watched.of_module[mutant.path]
    return sorted(tests - {""}, key=lambda test: (watched.seconds.get(test, 0), test))


# Running ---------------------------------------------------------------------------------------------------------


def fate(mutant: Mutant, watched: Watched, folder: Path) -> str:
    """`killed`, `timeout` or `survived`."""
    tests = tests_of(mutant, watched)
    chosen = folder / "chosen.json"
    chosen.write_text(json.dumps(tests))
    files = sorted({test.partition("::")[0] for test in tests})
    limit = GRACE + 5 * sum(watched.seconds.get(test, 0) for test in tests)
    target = folder / mutant.path
    target.write_text(mutant.text)
    try:
        passed = _pass([*PYTEST, *files], folder, limit, {"CMVIGIL_CHOSEN": str(chosen)})
        passed = passed and _pass([*PYTEST[:-2], TEXTS], folder, 30 * GRACE, {})
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        shutil.copy2(ROOT / mutant.path, target)
    return "survived" if passed else "killed"


def _pass(arguments: list[str], folder: Path, limit: float, more: dict[str, str]) -> bool:
    """Without bytecode of its own: two mutants of one size within a second would be taken for each other."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=folder,
        env=os.environ | more | {"PYTHONDONTWRITEBYTECODE": "1"},
        timeout=limit,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    return done.returncode == 0


def run(mutants: list[Mutant], watched: Watched, folders: list[Path]) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with its fate, in the order in which they end."""
    free: SimpleQueue[Path] = SimpleQueue()
    for folder in folders:
        free.put(folder)
    ended: SimpleQueue[tuple[Mutant, str]] = SimpleQueue()

    def one(mutant: Mutant) -> None:
        folder = free.get()
        what = "failed"
        try:
            what = fate(mutant, watched, folder)
        finally:
            free.put(folder)
            ended.put((mutant, what))

    with ThreadPoolExecutor(len(folders)) as pool:
        for mutant in mutants:
            pool.submit(one, mutant)
        for _ in mutants:
            yield ended.get()


def main(arguments: list[str]) -> None:
    budget = os.environ.get("CMVIGIL_MUTANTS", "200")
    exact = [name for name in arguments if ":" in name]
    paths = [name for name in arguments if ":" not in name] or (TARGETS if not exact else [])
    names = [name for path in paths for name in mutations(path)[1]]
    wanted = exact + sample(names, budget)
    mutants = [one for name in wanted if (one := made(name)) is not None]
    print(f"{len(mutants)} mutants of {len(names) or len(exact)}", flush=True)
    begun = time.monotonic()
    fates: Counter[str] = Counter()
    of_file: dict[str, Counter[str]] = {}
    survivors = []
    jobs = int(os.environ.get("CMVIGIL_JOBS", str(os.cpu_count() or 1)))
    with tempfile.TemporaryDirectory(prefix="mutants-") as place, suppress(KeyboardInterrupt):
        first = copied(Path(place) / "0")
        watched = watch(first)
        print(f"watched {len(watched.seconds)} tests in {time.monotonic() - begun:.0f} s", flush=True)
        folders = [first, *(shutil.copytree(first, Path(place) / str(i)) for i in range(1, jobs))]
        for mutant, what in run(mutants, watched, folders):
            fates[what] += 1
            of_file.setdefault(mutant.path, Counter())[what] += 1
            if what not in ("killed", "timeout"):
                survivors.append(mutant)
                print(f"{what} ({fates.total()}): {mutant.name} line {mutant.line}\n{mutant.change}\n", flush=True)
            if fates.total() % 20 == 0:
                print(f"{fates.total()} of {len(mutants)} {dict(fates)}", flush=True)
    print("\n## By file\n")
    for path, counts in sorted(of_file.items()):
        caught = counts["killed"] + counts["timeout"]
        print(f"{path:34} {caught:4} of {counts.total():4}")
    caught = fates["killed"] + fates["timeout"]
    print(f"\nscore {caught}/{fates.total()} = {100 * caught / max(fates.total(), 1):.1f} % {dict(fates)}")
    print(f"{time.monotonic() - begun:.0f} s; survivors:", *sorted(one.name for one in survivors), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
