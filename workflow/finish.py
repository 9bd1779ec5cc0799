"""The last lines that `make reproduce` prints: Table 1, and where everything is."""

from __future__ import annotations

import sys
from pathlib import Path

from asymgrpo.console import print_any_letter


def main(results: Path) -> None:
    print_any_letter()
    print((results / "table1.md").read_text(encoding="utf-8"))
    for title, pattern in {"Tables": "*.parquet", "Figures": "figures/*.pdf", "Report": "report.html"}.items():
        print(f"{title}:", *(f"  {path}" for path in sorted(results.glob(pattern))), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
