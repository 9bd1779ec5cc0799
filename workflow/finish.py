"""The last lines that `make reproduce` prints: Table 1, what a small study says, what it leaves open, and where everything is."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq

from asymgrpo.console import print_any_letter
from evals.figures.table import FIGURES
from evals.io import read_json

SAYS = {"Exactly": "theory_", "One update": "probe_", "Training": "training_"}
"""Heading -> how the names of the figures begin whose findings stand under it."""
OPEN = """{open} of {all} claims need more than this: seeds, arms, or models of the paper's size. More seeds and arms: {more}.
What these decided, and what they left open: docs/results.md.
"""
MORE = "snakemake all --configfile config/study.yaml"


def findings(results: Path) -> str:
    """The sentence of every drawn figure that says something of theory, probes or training, by heading."""
    parts = []
    for heading, begin in SAYS.items():
        drawn = [results / "figures" / f"{name}.json" for name in FIGURES if name.startswith(begin)]
        parts += [f"{heading}: {read_json(path)['finding']}" for path in drawn if path.is_file()]
    return "\n\n".join(parts)


def undecided(results: Path) -> str:
    """How many claims these results leave untested or open, and which study has more seeds and arms."""
    verdicts = pq.read_table(results / "claims.parquet", columns=["verdict"])["verdict"].to_pylist()
    left = sum(verdict in ("not tested", "inconclusive") for verdict in verdicts)
    return OPEN.format(open=left, all=len(verdicts), more=MORE)


def main(results: Path) -> None:
    print_any_letter()
    print((results / "table1.md").read_text(encoding="utf-8"))
    print(findings(results), undecided(results), sep="\n\n")
    for title, pattern in {"Tables": "*.parquet", "Figures": "figures/*.pdf", "Report": "report.html"}.items():
        print(f"{title}:", *(f"  {path}" for path in sorted(results.glob(pattern))), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
