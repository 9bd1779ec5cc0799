"""Last words of `make reproduce`: Table 1, and where everything is."""

from __future__ import annotations

import sys
from pathlib import Path


def main(results: Path) -> None:
    print((results / "table1.md").read_text())
    for title, pattern in {"Tables": "*.parquet", "Figures": "figures/*.pdf", "Report": "report.html"}.items():
        print(f"{title}:", *(f"  {path}" for path in sorted(results.glob(pattern))), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
