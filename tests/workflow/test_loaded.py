"""Which heavy packages each job loads: what it does not use costs seconds of every job, and a study has hundreds."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import dry
import pytest

from asymgrpo.lean import not_found
from asymgrpo.study import settings
from asymgrpo.study.stored import study_of_results

HEAVY = {
    *("torch", "transformers", "accelerate", "deepspeed", "vllm", "tensorboard"),
    *("sklearn", "scipy", "pandas", "matplotlib", "lm_eval", "datasets", "math_verify", "sympy"),
}
PROGRAM = """
import atexit, runpy, sys
heavy, out, module = sys.argv[1].split(","), sys.argv[2], sys.argv[3]
atexit.register(lambda: open(out, "w").write(" ".join(name for name in heavy if sys.modules.get(name))))
sys.argv = [module, *sys.argv[4:]]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
TORCH = {"torch", "sympy"}
"""torch itself imports sympy."""
ALLOWED = {
    "asymgrpo.models.tiny": TORCH | {"transformers", "matplotlib"},  # and reasoning_gym, as below
    "asymgrpo.training": TORCH | {"transformers", "deepspeed", "tensorboard"},
    "evals.sample": TORCH | {"transformers"},
    "evals.grade": set(),  # math-verify is in its worker processes
    "evals.select": set(),
    "asymgrpo.tasks.prepare": {
        "sympy",
        "matplotlib",
        "pandas",
    },  # reasoning_gym, which generates the sums, imports all it has
}


def loaded(out: Path, module: str, *arguments: object) -> set[str]:
    """The packages of HEAVY that a program has loaded when it ends."""
    command = [sys.executable, "-c", PROGRAM, ",".join(HEAVY), str(out), module, *map(str, arguments)]
    done = subprocess.run(command, cwd=dry.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(out.read_text().split())


@pytest.mark.slow
@pytest.mark.parametrize("module", ALLOWED)
def test_a_job_loads_nothing_that_it_does_not_use(results, tmp_path, module):
    """Each as its rule calls it, on the results of the mini study."""
    plan, run = settings.plan_of(study_of_results(results)), results / "runs/tiny/grpo/seed0"
    problems = [results / f"data/{name}.parquet" for name in ("chain2", "chain4")]
    samples = [results / f"samples/tiny/grpo/seed0/{name}.parquet" for name in ("chain2", "chain4")]
    told = {
        name: settings.dumps(getattr(settings, name)(plan, "tiny", "grpo", 0)) for name in ("run", "sampled", "graded")
    }
    arguments: dict[str, list[object]] = {
        "asymgrpo.models.tiny": [
            "--spec",
            settings.dumps(plan["models"]["tiny"]["base"]["spec"]),
            "--out",
            tmp_path / "m",
        ],
        "asymgrpo.training": [
            *("--settings", told["run"], "--operation", results / "config/operation/tiny.json"),
            *("--model", results / "models/tiny/base", "--problems", results / "data/train.parquet"),
            *("--evaluate", f"validation={results / 'data/validation.parquet'}", "--evaluate", f"chain4={problems[1]}"),
            *("--checkpoints", tmp_path / "c", "--out", tmp_path / "r"),
        ],
        "evals.sample": [
            *("--settings", told["sampled"], "--checkpoints", run / "candidates", "--out", tmp_path / "s/sampled.json"),
            *("--selection", run / "selection.json", "--problems", *problems),
        ],
        "evals.grade": [
            *("--settings", told["graded"], "--samples", *samples),
            *("--problems", *problems, "--out", tmp_path / "g.parquet"),
        ],
        "evals.select": [
            *("--evaluations", run / "eval.parquet", "--rule", "validation", "--model", "tiny", "--arm", "grpo"),
            *("--train-seed", 0, "--out", tmp_path / "selection.json"),
        ],
        "asymgrpo.tasks.prepare": [
            *("--dataset", "chain2", "--source", "embedded", "--embedded-n", 4, "--embedded-seed", 0),
            *("--lock", "config/data.lock.yaml", "--out", tmp_path / "p.parquet"),
        ],
    }
    assert loaded(tmp_path / "loaded", module, *arguments[module]) <= ALLOWED[module]


def test_what_libraries_do_not_find_others_do():
    """In a process of its own: what a process has imported it keeps."""
    program = """
from asymgrpo.lean import arrow_alone, transformers_alone
transformers_alone(), arrow_alone()
from transformers import GenerationMixin
from transformers.generation import candidate_generator
import pyarrow as pa
import pyarrow.dataset
import sys
pa.table({"a": [1, 2]}).group_by("a").aggregate([])
print([name for name in ("sklearn", "scipy", "pandas") if name in sys.modules], hasattr(candidate_generator, "roc_curve"))
import pandas, sklearn.metrics
print(callable(sklearn.metrics.roc_curve), len(pandas.DataFrame({"a": [1]})))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=dry.ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:2] == ["[] False", "True 1"], done.stderr


def test_only_this_name_and_only_within_the_block(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with not_found("colorsys"):
        with pytest.raises(ModuleNotFoundError, match="colorsys"):
            import_module("colorsys")
        assert import_module("json")
    assert import_module("colorsys")
