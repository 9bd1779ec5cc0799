"""The paper's main table (arXiv:2604.04894v1, Qwen3-4B non-thinking), as fractions.

One run per arm, average over 5 samples (MATH-500, OlympiadBench) or 10 (AIME24, AIME25, AMC23) at temperature
0.4; the checkpoint is the one with the best MATH-500 accuracy. Gathered from independent summaries of v1.
"""

SOURCE = "arXiv:2604.04894v1, main table (Qwen3-4B, non-thinking)"
MODEL = "Qwen3-4B"
"""The model that the table is of: `models.NAME.paper` of a configuration says that NAME is this one."""
BENCHMARKS = ("math500", "aime24", "aime25", "amc23", "olympiadbench", "average")

# Per cent, in the order of BENCHMARKS, as printed.
PRINTED: dict[str, tuple[float, ...]] = {
    "reinforce": (86.60, 28.67, 24.67, 73.75, 54.86, 53.71),
    "grpo": (88.20, 31.00, 27.33, 78.25, 57.74, 56.50),
    "grpo_entropy": (88.20, 38.33, 28.33, 75.50, 57.24, 57.52),
    "grpo_clip_higher": (90.07, 34.67, 32.33, 78.50, 58.18, 58.75),
    "dr_grpo": (88.87, 36.33, 30.00, 78.25, 57.24, 58.14),
    "asymgrpo": (89.33, 39.33, 28.67, 81.00, 58.48, 59.36),
    "asymgrpo_clip_higher": (89.73, 33.67, 36.00, 83.25, 58.93, 60.32),
}


def paper_value(model: str | None, arm: str, benchmark: str, metric: str) -> float | None:
    """The paper's avg@n of one of its models as a fraction, or None where the paper has no such number.

    >>> paper_value("Qwen3-4B", "asymgrpo", "average", "avg_at_n")
    0.5936
    >>> paper_value("Qwen3-4B", "base", "average", "avg_at_n") is None
    True
    """
    if model != MODEL or metric != "avg_at_n" or arm not in PRINTED or benchmark not in BENCHMARKS:
        return None
    return round(PRINTED[arm][BENCHMARKS.index(benchmark)] / 100, 4)
