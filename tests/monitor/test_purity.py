"""The clinical core reads no file, no clock, no chance, opens no socket and writes no log."""

import subprocess
import sys
from pathlib import Path

CODE = """
import builtins, json, sys
from pathlib import Path

from streams.knowledge_files import read_plan
from tests.monitor.case import D, H, START, dose, lab, patient

plan = read_plan([])
events = [json.dumps(one) for one in [
    patient(), lab("creatinine", 1.0, 9 * D), dose("foscarnet", 90, 10 * D, "mg/kg"), lab("creatinine", 2.0, 11 * D),
]]

import datetime, logging, os, random, socket, time

def blocked(*args, **kwargs):
    raise AssertionError("not pure")

real = builtins.open
builtins.open = socket.socket = socket.create_connection = os.open = os.getenv = os.urandom = blocked
for name in ("time", "time_ns", "monotonic", "perf_counter", "sleep", "localtime"):
    setattr(time, name, blocked)
for name in ("random", "randrange", "randint", "choice", "shuffle", "seed", "getrandbits"):
    setattr(random, name, blocked)
logging.Logger._log = logging.Logger.handle = blocked

from monitor.advance import advance, receive
from monitor.events import Gate, decoder
from monitor.patient import Patient
from monitor.state import dump, load
from monitor.times import parse_time

gate = Gate(plan)
p = Patient(plan, "p1")
receive(p, [gate.admit(decoder.decode(one)) for one in events])
changes = advance(p, parse_time("2026-03-01T00:00:00Z"))
load(plan, "p1", dump(p))
sys.stdout.write(",".join(sorted({one.code for one in changes})))
"""

IMPORTS = """
import sys
import pkgutil, importlib
import monitor
before = set(sys.modules)
for one in pkgutil.walk_packages(monitor.__path__, "monitor."):
    importlib.import_module(one.name)
own = {name.split(".")[0] for name in sys.modules}
print(",".join(sorted(own & {"streams", "faust", "rich", "polars", "aiohttp"})))
"""


def _run(code: str) -> str:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_core_runs_where_nothing_outside_can_be_reached():
    assert "aki" in _run(CODE).split(",")


def test_the_core_imports_nothing_that_moves_events():
    assert _run(IMPORTS) == ""


def test_no_module_of_the_core_names_what_is_not_pure():
    root = Path(__file__).parents[2] / "monitor"
    banned = {"logging", "random", "socket", "time", "os", "pathlib", "subprocess", "asyncio", "streams", "secrets"}
    for path in root.rglob("*.py"):
        for line in path.read_text("utf-8").splitlines():
            words = line.split()
            if len(words) > 1 and words[0] in ("import", "from"):
                assert words[1].split(".")[0] not in banned, f"{path.name}: {line}"
