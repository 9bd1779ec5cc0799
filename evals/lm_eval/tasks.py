"""What the task files call: problems in, scores out. lm-eval imports this file by its path."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# lm-eval may be started from anywhere.
if (root := str(Path(__file__).parents[2])) not in sys.path:
    sys.path.insert(0, root)

from asymgrpo.tasks.prompts import render
from asymgrpo.tasks.table import read_problems
from evals.estimates.passk import avg_at_n, pass_at_k
from evals.io import DataError
from evals.lm_eval import passk_ks


def load_problems(
    benchmark: str, data: str | None = None, template: str | None = None, pretrained: str | None = None, **_: Any
) -> dict[str, Any]:
    """{"test": data set with problem_id, prompt and answer} of the problem table `data`/`benchmark`.parquet.

    lm-eval passes its --metadata and --model_args: `pretrained` is the model directory, whose tokenizer knows the chat template.

    Raises:
        DataError: `data` or `template` was not given, or the table is missing.
    """
    from datasets import Dataset

    if data is None or template is None:
        raise DataError('lm-eval task: give --metadata \'{"data": "FOLDER OF PROBLEM TABLES", "template": "plain"}\'')
    rows = read_problems(Path(data) / f"{benchmark}.parquet")
    tokenizer = None
    if pretrained is not None:
        from asymgrpo.models.directory import load_tokenizer

        tokenizer = load_tokenizer(pretrained)
    docs = [
        {
            "problem_id": row["problem_id"],
            "prompt": render(template, row["problem"], tokenizer),
            "answer": row["answer"],
        }
        for row in rows
    ]
    return {"test": Dataset.from_list(docs)}


def scores(responses: Sequence[str], reference_answer: str, truncated: Sequence[bool]) -> dict[str, float]:
    r"""avg_at_n and pass_at_k of one problem; `truncated`: which responses were cut.

    >>> scores([r"\boxed{2}"] * 4, "2", [False, False, False, True])
    {'avg_at_n': 0.75, 'pass_at_2': 1.0}
    """
    from asymgrpo.verifier import Verdict, grade_many

    asked = [(response, reference_answer, cut) for response, cut in zip(responses, truncated, strict=True)]
    n, c = len(responses), grade_many(asked, workers=1).count(Verdict.correct)
    passes = {f"pass_at_{k}": pass_at_k(n, c, k).item() for k in passk_ks(n)}
    return {"avg_at_n": avg_at_n(n, c).item(), **passes}


def process_results(doc: dict[str, Any], results: list[list[str]]) -> dict[str, float]:
    """Scores of one document. Plain lm-eval does not say which responses were cut at the token limit: none counts as cut."""
    (responses,) = results
    return scores(responses, doc["answer"], [False] * len(responses))
