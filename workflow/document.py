"""`python -m workflow.document --settings FILE --out FILE`: the configuration of a study as a file for readers (rule study)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from asymgrpo.files import write_text
from asymgrpo.study.stored import document


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    found = parser.parse_args()
    told = json.loads(found.settings.read_text(encoding="utf-8"))
    write_text(document({key: value for key, value in told.items() if key != "of"}), found.out)


if __name__ == "__main__":
    main()
