"""Grading, estimates with intervals, tables and figures. Imports `asymgrpo`, never the other way."""
