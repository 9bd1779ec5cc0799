"""What a result states, and what is refused: properties of asymgrpo.study.settings, and every step's refusal on real files."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.errors import DataError
from asymgrpo.files import write_table
from asymgrpo.study import agreement, layout, settings
from asymgrpo.study.config import parse
from asymgrpo.study.sections.train import NO_EFFECT_ON_RESULTS
from asymgrpo.study.stored import study_of_results, updated
from evals.artifacts.agreement import refuse_other_settings
from workflow import common
from workflow.given import GivenSettings
from workflow.stale import Stale

ROOT = Path(__file__).parents[2]
STUDY = parse(
    updated(
        yaml.safe_load((ROOT / "config/default.yaml").read_text(encoding="utf-8")),
        {
            "study": {"analyses": ["positive_only"], "analysis_seeds": [0]},
            "evaluation": {"control_templates": ["plain_boxed"]},
        },
    )
)
PLAN = settings.plan_of(STUDY)
RESULTS = {
    "run": settings.run(PLAN, "tiny", "grpo", 1),
    "graded": settings.graded(PLAN, "tiny", "grpo", 1),
    "base model": settings.graded(PLAN, "tiny", "base", 0),
    "template": settings.graded(PLAN, "tiny", "base@plain_boxed", 0),
    "problems": settings.problems(PLAN, "validation"),
    "table": settings.table(PLAN, k=[1, 2], draws=10),
}


def leaves(value, path=()):
    """Paths of everything in nested dictionaries that is no dictionary."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield path


def changed(value, path):
    """A copy with another value at a path."""
    other = copy.deepcopy(value)
    inner = other
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = "something else"
    return other


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_of_the_plan_is_accepted(name):
    asked = settings.table(PLAN, k=[1, 2], draws=10)
    agreement.require_for_table(RESULTS[name], asked, name)
    assert agreement.differences(RESULTS[name], json.loads(settings.dumps(RESULTS[name]))) == []


@given(data=st.data())
def test_every_setting_of_every_result_counts(data):
    """Whatever single value differs, the result is refused and the key is named."""
    name = data.draw(st.sampled_from(sorted(RESULTS)))
    path = data.draw(st.sampled_from(list(leaves(RESULTS[name]))))
    stated = changed(RESULTS[name], path)
    with pytest.raises(settings.SettingsError) as refused:
        agreement.require(stated, RESULTS[name], "results/some.parquet")
    assert ".".join(path) in str(refused.value)
    assert "results/some.parquet" in str(refused.value)


@given(data=st.data())
def test_nothing_without_effect_is_a_setting(data):
    """Changes of how a study is carried out leave every setting as it is."""
    key = data.draw(st.sampled_from(NO_EFFECT_ON_RESULTS))
    assert all(key not in path for path in leaves(PLAN))
    moved = STUDY.model_copy(update={"results": Path("elsewhere"), "checkpoints": Path("other"), "name": "x"})
    assert settings.plan_of(moved) == PLAN


def test_a_part_of_a_plan_asks_for_its_own_results_only():
    part = settings.table(settings.part(PLAN, ["tiny"], ["base", "grpo"], ["chain2"]))
    assert set(part["plan"]["arms"]) == {"grpo"}
    assert set(part["plan"]["n_samples"]) == {"chain2"}
    agreement.require_for_table(RESULTS["table"], part, "a table with more in it")
    with pytest.raises(settings.SettingsError, match="asymgrpo"):
        agreement.require_for_table(settings.run(PLAN, "tiny", "asymgrpo", 0), part, "metrics.parquet")


def test_seeds_are_part_of_what_a_table_is_of():
    """A table of two training seeds is none of one seed, and a run of a seed that is not named is in no table."""
    fewer = settings.plan_of(STUDY.model_copy(update={"study": STUDY.study.model_copy(update={"seeds": [0]})}))
    both, one = settings.table(PLAN, k=[1]), settings.table(fewer, k=[1])
    for stated, asked, words in [
        (both, one, r"seeds.grpo is \[0, 1\], not \[0\]"),
        (one, both, r"seeds.grpo is \[0\], not"),
        (RESULTS["run"], one, "grpo seed 1"),
        (RESULTS["graded"], one, "grpo seed 1"),
    ]:
        with pytest.raises(settings.SettingsError, match=words):
            agreement.require_for_table(stated, asked, "x.parquet")
    agreement.require_for_table(settings.run(PLAN, "tiny", "positive_only", 0), both, "an analysis of its own seed")
    assert settings.of_problems(PLAN) == settings.of_problems(fewer)


def test_a_key_that_a_later_version_adds_does_not_refuse_what_was_made_before():
    before, now = copy.deepcopy(RESULTS["run"]), RESULTS["run"]
    del before["arm"]["kl_coef"], before["train"]["logits_chunk"]
    assert agreement.differences(before, now) == []
    del before["base"]["spec"]["layers"]
    assert agreement.differences(before, now) == ["base.spec.layers is null, not 2"], "a specification has no such keys"


def test_files_of_settings_hold_what_their_names_say(tmp_path):
    """Of every job that is about to start, whether it names one or several; what somebody made of one is written again."""
    given = GivenSettings(str(tmp_path))
    one, other = given.file({"of": "run", "seed": 0}), given.file({"of": "run", "seed": 1})
    jobs = [SimpleNamespace(params=params) for params in ({"settings": one}, {"settings": [one, other]}, {})]
    given.write(jobs)
    for text in ("{}", "[{"):
        Path(one).write_text(text)
        given.write(jobs)
        assert [settings.loads(path)["seed"] for path in (one, other)] == [0, 1]


def call(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


def test_train_refuses_another_base_model_and_other_problems(results, tmp_path):
    plan = settings.plan_of(study_of_results(results))
    asked = settings.run(plan, "tiny", "grpo", 0)
    inputs = [
        *("--operation", results / "config/operation/tiny.json", "--model", results / "models/tiny/base"),
        *(
            "--problems",
            results / "data/train.parquet",
            "--evaluate",
            f"validation={results / 'data/validation.parquet'}",
        ),
        *("--evaluate", f"chain4={results / 'data/chain4.parquet'}", "--checkpoints", tmp_path / "c"),
    ]
    for path, words in {
        ("base", "spec", "hidden_size"): ["models/tiny/base", "base_model"],
        ("problems", "train", "embedded_n"): ["data/train.parquet", "problems"],
        ("problems", "chain4", "embedded_seed"): ["data/chain4.parquet", "problems"],
    }.items():
        done = call(
            "asymgrpo.training",
            "--settings",
            settings.dumps(changed(asked, path)),
            *inputs,
            "--out",
            tmp_path / "out",
        )
        assert done.returncode == 2, done.stderr
        assert all(word in done.stderr for word in [*words, path[-1]]), done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "c").exists()


def test_each_step_of_evaluation_refuses_what_was_not_asked_for(results, tmp_path):
    """sample: run, problems; grade: samples; score: graded; table: scores; claims: scores of runs; figure: metrics."""
    study = study_of_results(results)
    plan = settings.plan_of(study)
    graded = settings.graded(plan, "tiny", "grpo", 0)
    tables = common.tables(study, plan, layout.Layout(study))
    asked = {Path(path).stem: told for path, told in tables.items()}
    run, out = results / "runs/tiny/grpo/seed0", tmp_path / "out"
    graded_files = [results / f"graded/tiny/{arm}/seed0.parquet" for arm in ("base", "grpo", "asymgrpo_clip_higher")]
    selections = [results / f"runs/tiny/{arm}/seed0/selection.json" for arm in ("grpo", "asymgrpo_clip_higher")]
    problems = [results / f"data/{name}.parquet" for name in ("chain2", "chain4")]
    of_sample = ["--problems", problems[0], "--checkpoints", run / "candidates", "--selection", selections[0]]
    of_score = ["--graded", *graded_files, "--selection", *selections, "--k", 1, "--draws", 10, "--seed", 0]
    of_table = ["--scores", results / "scores.parquet", "--markdown", tmp_path / "t.md"]
    cases = [
        ("evals.sample", settings.samples(graded, "chain2"), ("source", "train", "steps"), of_sample, "done.json"),
        ("evals.sample", settings.samples(graded, "chain2"), ("problems", "embedded_n"), of_sample, "chain2.parquet"),
        (
            *("evals.grade", graded, ("evaluation", "temperature")),
            ["--samples", *(results / "samples/tiny/grpo/seed0").glob("*.parquet"), "--problems", *problems],
            "samples/tiny/grpo/seed0",
        ),
        (
            *("evals.tables.score", asked["scores"], ("plan", "models", "tiny", "train", "learning_rate")),
            [*of_score, "--seed-variance", "own"],
            "graded/tiny/grpo/seed0.parquet",
        ),
        ("evals.tables.table1", asked["table1"], ("options", "draws"), of_table, "scores.parquet"),
        ("evals.tables.table1", asked["table1"], ("plan", "arms", "grpo", "clip_high"), of_table, "scores.parquet"),
        (
            *("evals.claims", asked["claims"], ("plan", "arms", "grpo", "clip_low")),
            [
                *("--runs", results / "run_scores.parquet", "--metrics", run / "metrics.parquet"),
                *("--measures", tmp_path / "m", "--sensitivity", tmp_path / "s", "--markdown", tmp_path / "c.md"),
            ],
            "run_scores.parquet",
        ),
    ]
    for module, told, path, arguments, file in cases:
        done = call(module, "--settings", settings.dumps(changed(told, path)), *arguments, "--out", out)
        assert done.returncode != 0, (module, path)
        assert file in done.stderr, (module, path, done.stderr)
        assert path[-1] in done.stderr, (module, path, done.stderr)
        assert "Traceback" not in done.stderr
        assert not out.exists()
    figure = settings.table(settings.part(plan, ["tiny"], ["base", "grpo"], ["chain2", "chain4"]))
    wrong = settings.dumps(changed(figure, ("plan", "models", "tiny", "train", "steps")))
    done = call(
        *("evals.figures", "training_curves", "--settings", wrong, "--metrics", run / "metrics.parquet"),
        *("--out-prefix", tmp_path / "figure"),
    )
    assert done.returncode != 0
    assert "metrics.parquet" in done.stderr
    assert "train.steps" in done.stderr


def test_weights_that_are_not_those_of_the_manifest_are_refused(results, tmp_path):
    """Copied under the manifest of another model: what the manifest states is not of them."""
    plan, base = settings.plan_of(study_of_results(results)), tmp_path / "base"
    shutil.copytree(results / "models/tiny/base", base)
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    problems = {name: results / f"data/{name}.parquet" for name in ("train", "validation", "chain4", "chain2")}
    evaluated = [f"{name}={problems[name]}" for name in ("validation", "chain4")]
    out = tmp_path / "out"
    done = [
        call(
            *(
                "asymgrpo.training",
                "--settings",
                settings.dumps(settings.run(plan, "tiny", "grpo", 0)),
                "--model",
                base,
            ),
            *("--operation", results / "config/operation/tiny.json", "--problems", problems["train"]),
            *("--evaluate", evaluated[0], "--evaluate", evaluated[1], "--checkpoints", tmp_path / "c", "--out", out),
        ),
        call(
            "evals.sample",
            *("--settings", settings.dumps(settings.samples(settings.graded(plan, "tiny", "base", 0), "chain2"))),
            *("--problems", problems["chain2"], "--checkpoints", base, "--out", out),
        ),
    ]
    for said in done:
        assert said.returncode == 2, said.stderr
        assert "base/model.safetensors is missing or altered" in said.stderr
        assert "Traceback" not in said.stderr
    assert not out.exists()


def test_samples_of_other_problems_are_not_graded(results, tmp_path):
    """By content: the same benchmark, generated from another seed."""
    samples = results / "samples/tiny/base/seed0/chain2.parquet"
    done = call(
        "evals.grade", "--samples", samples, "--problems", results / "data/chain4.parquet", "--out", tmp_path / "g"
    )
    assert done.returncode != 0
    assert "sampled from other problems" in done.stderr


def test_a_bundle_and_a_report_refuse_runs_of_another_configuration(results, tmp_path):
    """Even when the file of the configuration was changed behind the study's back."""
    path = results / "config/study.json"
    before = path.read_bytes()
    told = json.loads(before)
    told["config"]["train"]["learning_rate"] = 0.123
    path.write_text(json.dumps(told), encoding="utf-8")
    try:
        for module, options in {
            "evals.artifacts.bundle": ["make", "--results", results],
            "evals.report": ["--results", results],
            "evals.artifacts.crate": ["--results", results],
        }.items():
            out = results / "ro-crate-metadata.json" if module == "evals.artifacts.crate" else tmp_path / "out"
            done = call(module, *options, "--out", out)
            assert done.returncode != 0, module
            assert "learning_rate is 0.0006, not 0.123" in done.stderr, (module, done.stderr)
            assert not out.exists()
    finally:
        path.write_bytes(before)


def test_a_result_that_states_no_settings_is_made_again(tmp_path):
    """Of an earlier version, or cut short: without Snakemake's records nothing tells of which configuration it is."""
    asked, forced = settings.run(PLAN, "tiny", "grpo", 0), set()
    stale = Stale(SimpleNamespace(remote_exec=False, dag=SimpleNamespace(forcefiles=forced)), say=lambda text: None)
    path = tmp_path / "done.json"
    stale.check(str(path), asked)
    path.write_text(json.dumps({"settings": asked}))
    stale.check(str(path), asked)
    assert not forced
    for text in ('{"sha256": "a"}', "[]", '{"settings"'):
        path.write_text(text)
        stale.check(str(path), asked)
        assert forced == {str(path)}
        forced.clear()


def test_a_file_in_the_place_of_another_is_refused(results, tmp_path):
    """Each is of the configuration, but one of them is there twice, and the other one is not."""
    copy = tmp_path / "copy"
    shutil.copytree(results, copy)
    for name, other in {
        "graded/tiny/grpo/seed0.parquet": "graded/tiny/asymgrpo_clip_higher/seed0.parquet",
        "runs/tiny/grpo/seed0/metrics.parquet": "runs/tiny/asymgrpo_clip_higher/seed0/metrics.parquet",
        "data/chain2.parquet": "data/chain4.parquet",
        "data/train.parquet": "data/validation.parquet",
    }.items():
        refuse_other_settings(copy, [name, other])
        shutil.copy(copy / name, copy / other)
        with pytest.raises(DataError, match=f"{other} is what .*{Path(name).parent}"):
            refuse_other_settings(copy, [name, other])


@pytest.mark.parametrize("stated", ["text", ["of"], {}, {"of": 1}], ids=str)
def test_settings_that_are_none_are_refused_in_a_sentence(stated):
    for compare in (agreement.require_for_table, agreement.require_within):
        with pytest.raises(settings.SettingsError, match=r"x\.parquet states no settings that can be read"):
            compare(stated, settings.table(PLAN) if compare is agreement.require_for_table else PLAN, "x.parquet")


def test_a_damaged_configuration_is_written_again(tmp_path):
    path, forced = tmp_path / "study.json", set()
    stale = Stale(SimpleNamespace(remote_exec=False, dag=SimpleNamespace(forcefiles=forced)))
    path.write_bytes("{ü}\n".encode())
    stale.check_text(str(path), "{ü}\n")
    assert not forced
    path.write_bytes(b"\xff\xfe{")
    stale.check_text(str(path), "{ü}\n")
    assert forced == {str(path)}


def test_what_an_earlier_configuration_left_is_in_no_page_and_no_crate(results, tmp_path):
    """A benchmark and analyses that were taken out again: their files stay, and stop nobody."""
    copy = tmp_path / "copy"
    shutil.copytree(results, copy)
    shutil.copy(copy / "data/chain4.parquet", copy / "data/chain9.parquet")
    told = agreement.stated(copy / "scores.parquet")
    more = changed(told, ("plan", "arms", "positive_only"))
    write_table(pq.read_table(copy / "scores.parquet"), copy / "analyses.parquet", {"settings": more})
    for module, out in {
        "evals.report": tmp_path / "page.html",
        "evals.artifacts.crate": copy / "ro-crate-metadata.json",
    }.items():
        done = call(module, "--results", copy, "--out", out)
        assert done.returncode == 0, done.stderr
        said = out.read_text(encoding="utf-8")
        assert "analyses.parquet" not in said
        assert "chain9" not in said
    with pytest.raises(DataError, match="positive_only"):
        refuse_other_settings(copy, ["analyses.parquet"])


def test_a_run_of_an_earlier_version_is_compared_by_what_it_says_of_its_training(results):
    """A bundle of it, or a page about it, cannot be made under another configuration either."""
    name = "runs/tiny/grpo/seed0/done.json"
    path = results / name
    before = path.read_bytes()
    old = json.loads(before)
    del old["settings"]
    try:
        path.write_text(json.dumps(old), encoding="utf-8")
        refuse_other_settings(results, [name])
        for key, change in {
            "train": {"learning_rate": 0.5},
            "arm_fields": {"clip_high": 0.5},
        }.items():
            path.write_text(json.dumps(old | {key: old[key] | change}), encoding="utf-8")
            with pytest.raises(DataError, match=f"{next(iter(change))} is 0.5, not"):
                refuse_other_settings(results, [name])
    finally:
        path.write_bytes(before)


def test_every_result_states_its_settings(results):
    study = study_of_results(results)
    plan = settings.plan_of(study)
    for arm in ("grpo", "asymgrpo_clip_higher"):
        run = results / f"runs/tiny/{arm}/seed0"
        for name in ("done.json", "metrics.parquet", "eval.parquet", "timings.parquet", "rollouts.parquet"):
            assert agreement.stated(run / name) == settings.run(plan, "tiny", arm, 0), name
    for path, told in common.tables(study, plan, layout.Layout(study.model_copy(update={"results": results}))).items():
        if Path(path).exists():
            assert agreement.stated(Path(path)) == told, path
    inputs = json.loads(pq.read_schema(results / "scores.parquet").metadata[b"asymgrpo"])["inputs"]
    assert "settings" not in json.dumps(inputs), "stated once, not once more for each input"
