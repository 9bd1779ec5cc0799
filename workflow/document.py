"""`python -m workflow.document --text TEXT --out FILE`: write a text as a file, whole or not at all."""

from __future__ import annotations

import argparse
from pathlib import Path

from asymgrpo.files import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", required=True)
    parser.add_argument("--out", type=Path, required=True)
    found = parser.parse_args()
    write_text(found.text, found.out)


if __name__ == "__main__":
    main()
