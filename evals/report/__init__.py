"""One HTML file about a study: `python -m evals.report --results DIR --out report.html` (docs/report.md)."""
