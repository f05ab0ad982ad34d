"""Reading knowledge: the default that ships in `seeds/knowledge/`, and a site's own files laid over it."""

import tomllib
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

from monitor.knowledge import KnowledgeError, Problem, Table, lay
from monitor.plan import Plan
from monitor.rules import KINDS


def read_plan(overlays: list[Path]) -> Plan:
    """The plan of the default knowledge with a site's files over it.

    Raises KnowledgeError, naming file, key and reason of every fault.
    """
    folder = files("seeds") / "knowledge"
    default = sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    layers = [(one.name, tomllib.loads(one.read_text("utf-8"), parse_float=Decimal)) for one in default]
    for overlay in overlays:
        layers += [(str(path), read_toml(path)) for path in _toml_files(overlay)]
    return Plan(lay(layers), KINDS)


def _toml_files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.toml"))
        if not found:
            raise KnowledgeError([Problem(str(path), "-", "no .toml file in this folder")])
        return found
    return [path]


def read_toml(path: Path) -> Table:
    """One TOML file. Raises KnowledgeError where it cannot be read or is none."""
    try:
        return tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise KnowledgeError([Problem(str(path), "-", error.strerror or "cannot be read")]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise KnowledgeError([Problem(str(path), "-", f"not TOML: {error}")]) from None
