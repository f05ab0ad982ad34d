"""Any bytes end in a fact, an ignored event or a typed rejection: the fuzzers' targets on fixed inputs.

The same targets are fuzzed by `make deep` (fuzz_readers.py).
"""

import resource
import subprocess
import sys

import pytest
import zstandard

from tests.deep.targets import NASTY, TARGETS, seeds


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("what", NASTY)
def test_nasty_bytes_end_in_no_other_exception(target, what):
    TARGETS[target](NASTY[what])


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_and_all_that_is_cut_from_them(target):
    for seed in seeds(target):
        for cut in range(0, len(seed), 1 + len(seed) // 20):
            TARGETS[target](seed[:cut])
            TARGETS[target](seed[cut:])
        TARGETS[target](seed)


READ = """
import sys
from streams.knowledge_files import read_plan
from streams.rejects import Rejects
from streams.replay import read_log
rejects = Rejects(None)
read_log(read_plan([]), sys.argv[1:], rejects)
print(rejects.count)
"""


@pytest.mark.slow
def test_a_small_archive_of_a_huge_line_is_read_in_bounded_memory(tmp_path):
    packer = zstandard.ZstdCompressor().compressobj()
    packed = b"".join(packer.compress(b"x" * (1 << 24)) for _ in range(64)) + packer.flush()
    assert len(packed) < 1 << 16
    (tmp_path / "log").write_bytes(packed)
    done = subprocess.run(
        [sys.executable, "-c", READ, tmp_path / "log"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (800 << 20, 800 << 20)),
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr[-500:]
