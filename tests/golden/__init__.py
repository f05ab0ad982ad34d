"""What must never change by accident.

`CMVIGIL_GOLDEN=write pytest tests/golden` writes it anew, to be read and reviewed.
"""

import os
from pathlib import Path

FOLDER = Path(__file__).parent


def holds(name, text):
    """Whether a golden file holds just this text; with CMVIGIL_GOLDEN=write it is made to."""
    path = FOLDER / name
    if os.environ.get("CMVIGIL_GOLDEN") == "write":
        path.write_text(text, "utf-8")
    return path.read_text("utf-8") == text
