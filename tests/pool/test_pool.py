"""Bundles of several laboratories: parts of one study give it back, and what differs is refused by name."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from parts import COMMITTED, SEEDS, edited_json, edited_metadata, part

from asymgrpo.errors import InputError
from asymgrpo.study.config import ConfigError
from asymgrpo.study.layout import CONFIGURATION, LABORATORIES, PROTOCOL, trained_runs
from asymgrpo.study.stored import parse_stored
from evals.artifacts.bundle_files import Bundle, open_bundle, write_bundle
from evals.claims.decided import decide_claim, main, numbers
from evals.claims.measures import SCHEMA
from evals.claims.table import CLAIMS
from evals.io import DataError, read_table
from evals.pool import agreement, joined, laboratories, tables
from evals.pool.claims import Pool, disagreements, opposite
from evals.tables import run_scores
from workflow import bundle as of_workflow

ARMS = (["grpo", "asymgrpo"], ["maxrl"])
PARTS = {"berlin": (SEEDS[:3], SEEDS[:2]), "lima": (SEEDS[3:6], SEEDS[2:3]), "oslo": (SEEDS[6:], SEEDS[3:4])}
NOT_OF_RUNS = {"manifest.json", "jobs.parquet", LABORATORIES}


@pytest.fixture(scope="module")
def committed() -> Bundle:
    return open_bundle(COMMITTED)


@pytest.fixture(scope="module")
def bundles(committed: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three parts of the committed study by seed, and all of it; two arms and an analysis."""
    home = tmp_path_factory.mktemp("pool")
    found = {name: part(committed, home / f"{name}.zip", *seeds, ARMS) for name, seeds in PARTS.items()}
    return found | {"whole": part(committed, home / "whole.zip", SEEDS, SEEDS[:4], ARMS)}


@pytest.fixture(scope="module")
def pooled(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("joined") / "pooled.zip"
    joined.join(laboratories.opened([str(bundles[name]) for name in PARTS]), out)
    return open_bundle(out)


def test_parts_of_a_study_give_back_every_file_of_the_whole(bundles: dict[str, Path], pooled: Bundle) -> None:
    whole = open_bundle(bundles["whole"])
    pooled.check()
    assert set(pooled.files) - {LABORATORIES} == set(whole.files)
    assert [n for n in whole.files if n not in NOT_OF_RUNS and pooled.read(n) != whole.read(n)] == []
    runs = [run for told in pooled.json(LABORATORIES).values() for run in told["runs"]]
    study = parse_stored(whole.json(CONFIGURATION)["config"])
    assert sorted(runs) == sorted("{model}/{arm}/seed{seed}".format(**run) for run in trained_runs(study))
    assert not any(told["other_base_answers"] for told in pooled.json(LABORATORIES).values())


@pytest.fixture(scope="module")
def made(pooled: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pool's tables."""
    home = tmp_path_factory.mktemp("tables")
    pooled.unpack(home)
    graded, selections = sorted(home.glob("graded/*/*/*.parquet")), sorted(home.glob("runs/*/*/*/selection.json"))
    problems = sorted(home.glob("data/chain*.parquet"))
    scores, measures = home / "run_scores.parquet", home / "measures.parquet"
    run_scores.main(graded=graded, selection=selections, problems=problems, k=[1, 16], out=scores)
    metrics = sorted(home.glob("runs/*/*/*/metrics.parquet"))
    main(scores, metrics, measures, home / "claims.parquet", home / "sensitivity.parquet", home / "claims.md")
    tables.make(home / LABORATORIES, scores, measures, home)
    return home


def test_claims_are_those_of_the_whole_where_laboratories_do_not_differ_and_wider_where_they_do(made: Path) -> None:
    frame = read_table(made / "claims.parquet").to_pandas().set_index("id")
    rows = read_table(made / "pooled_claims.parquet").to_pylist()
    assert [row["id"] for row in rows] == [claim.id for claim in CLAIMS]
    same, wider = 0, 0
    for row in rows:
        whole = frame.loc[row["id"]]
        assert row["verdict_without"] == whole["verdict"]
        if row["verdict"] == "not tested":
            assert row["why_not"] == whole["why_not"]
        elif row["sd_laboratory"] == row["sd_laboratory_arm"] == 0:
            same += 1
            names = ["estimate", "ci_low", "ci_high", "std_error", "degrees", "p_value"]
            assert [row[name] for name in names] == pytest.approx(whole[names].tolist(), rel=1e-9, abs=1e-11)
            assert row["verdict"] == whole["verdict"]
        elif row["sd_laboratory_arm"] > 0:
            wider += 1
            assert row["std_error"] > 0.98 * whole["std_error"]
    assert same > 0
    assert wider > 0


def test_table_1_is_the_mean_over_runs_where_laboratories_do_not_differ(made: Path) -> None:
    runs = read_table(made / "run_scores.parquet").to_pandas()
    means = runs.fillna({"k": 0}).groupby(["selection", "benchmark", "metric", "k", "arm"])["value"].mean()
    rows = read_table(made / "pooled_table1.parquet").to_pylist()
    plain = [row for row in rows if row["sd_laboratory"] == row["sd_laboratory_arm"] == 0]
    assert 0 < len(plain) < len(rows)
    for row in plain:
        key = (row["selection"], row["benchmark"], row["metric"], row["k"] or 0, row["arm"])
        assert row["estimate"] == pytest.approx(means[key])
    assert {row["n_laboratories"] for row in rows} == {3}
    assert {row["arm"]: row["n_seeds"] for row in rows} == {"grpo": 8, "asymgrpo": 8, "maxrl": 4}
    text = (made / "pooled.md").read_text()
    assert "| berlin | 8 | the same |" in text
    assert "tested claims: laboratories differ by an F test" in text


DIFFERENT = {
    "models.tiny.train.learning_rate is 0.0004 in berlin and 0.0003 in other": edited_json(
        CONFIGURATION, "config", "train", "learning_rate", value=0.0003
    ),
    "analysis.bootstrap_draws is 10000 in berlin and 500 in other": edited_json(
        CONFIGURATION, "config", "evaluation", "bootstrap_draws", value=500
    ),
    "arms.grpo.arm.clip_high is 0.2 in berlin and 0.28 in other": edited_json(
        f"grpo/seed{SEEDS[3]}/conventions.json", "arm", "fields", "clip_high", value=0.28
    ),
    'verifier is "2" in berlin and "3" in other': edited_metadata(
        f"grpo/seed{SEEDS[3]}.parquet", "verifier_version", "3"
    ),
    "data.chain4.content_sha256 is": edited_metadata("data/chain4.parquet", "content_sha256", "ff"),
    "base_weights.tiny.model.safetensors is": edited_metadata(
        f"grpo/seed{SEEDS[3]}/metrics.parquet", "model_sha256", {"model.safetensors": "ff"}
    ),
}


@pytest.mark.parametrize("phrase", DIFFERENT)
def test_a_difference_is_refused_by_name_with_both_values(
    committed: Bundle, bundles: dict[str, Path], tmp_path: Path, phrase: str
) -> None:
    arms = (["grpo"], [])
    one = part(committed, tmp_path / "berlin.zip", [SEEDS[0]], [SEEDS[0]], arms)
    other = part(committed, tmp_path / "other.zip", [SEEDS[3]], [SEEDS[0]], arms, DIFFERENT[phrase])
    with pytest.raises(agreement.PoolError) as refused:
        joined.join(laboratories.opened([str(one), str(other)]), tmp_path / "pooled.zip")
    assert f"cannot be pooled: {phrase}" in str(refused.value)
    assert "more)" not in str(refused.value)
    assert not (tmp_path / "pooled.zip").exists()


def test_a_key_that_a_later_version_added_is_no_difference(committed: Bundle, tmp_path: Path) -> None:
    newer = edited_json("conventions.json", "arm", "fields", "overlong_filter", value=False)
    arms = (["grpo"], [])
    sources = [
        part(committed, tmp_path / "a.zip", [SEEDS[0]], [SEEDS[0]], arms),
        part(committed, tmp_path / "b.zip", [SEEDS[3]], [SEEDS[0]], arms, newer),
    ]
    for order in (sources, sources[::-1]):
        assert agreement.differences(laboratories.opened([str(path) for path in order])) == []


def test_protocols_are_compared_by_content(committed: Bundle, tmp_path: Path) -> None:
    def declared(name: str, seed: int, margin: float | None) -> str:
        protocol = {"claims": {"a": {"margin": margin}}}
        more = {PROTOCOL: json.dumps(protocol).encode()} if margin else {}
        return str(part(committed, tmp_path / f"{name}.zip", [seed], [SEEDS[0]], (["grpo"], []), more=more))

    one, same, other, none = (
        declared(*it)
        for it in (("a", SEEDS[0], 0.01), ("b", SEEDS[1], 0.01), ("c", SEEDS[2], 0.02), ("d", SEEDS[3], None))
    )
    agreement.require(laboratories.opened([one, same]))
    with pytest.raises(agreement.PoolError, match=r"protocol.claims.a.margin is 0.01 in a and 0.02 in c"):
        agreement.require(laboratories.opened([one, other]))
    with pytest.raises(agreement.PoolError, match=r"protocol is \{.* in a and missing in d"):
        agreement.require(laboratories.opened([one, none]))


def test_other_arms_repeated_seeds_and_unnamed_laboratories_are_refused(
    committed: Bundle, bundles: dict[str, Path], tmp_path: Path
) -> None:
    berlin, lima = str(bundles["berlin"]), str(bundles["lima"])
    fewer = part(committed, tmp_path / "fewer.zip", [SEEDS[6]], [SEEDS[0]], (["grpo"], []))
    with pytest.raises(
        agreement.PoolError, match=r'study.arms is \["grpo", "asymgrpo"\] in berlin and \["grpo"\] in fewer'
    ):
        agreement.require(laboratories.opened([berlin, str(fewer)]))
    with pytest.raises(agreement.PoolError, match=rf"tiny/grpo/seed{SEEDS[0]} is in one and in berlin \(and 7 more\)"):
        agreement.require(laboratories.opened([f"one={berlin}", berlin]))
    for sources, phrase in (([berlin], "at least two"), ([berlin, berlin], "two laboratories are called 'berlin'")):
        with pytest.raises(InputError, match=phrase):
            laboratories.opened(sources)
    assert [lab.name for lab in laboratories.opened([f"a={berlin}", lima])] == ["a", "lima"]


def test_a_bundle_without_one_of_its_runs_is_refused(
    committed: Bundle, bundles: dict[str, Path], tmp_path: Path
) -> None:
    path = part(committed, tmp_path / "x.zip", [SEEDS[6]], [SEEDS[3]], ARMS)
    opened = open_bundle(path)
    lost = {name: entry for name, entry in opened.files.items() if name != f"runs/tiny/grpo/seed{SEEDS[6]}/done.json"}
    write_bundle(path, [(name, opened.read(name)) for name in lost], {**opened.manifest, "files": lost})
    with pytest.raises(DataError, match=rf"runs/tiny/grpo/seed{SEEDS[6]}/done\.json is missing; make the bundle"):
        laboratories.opened([str(bundles["berlin"]), str(path)])


def synthetic(shift: float) -> Pool:
    """Accuracy of three arms in two laboratories; `shift` moves AsymGRPO in one up and in the other down."""
    rng, rows, labs = np.random.default_rng(0), [], {}
    for arm in ("grpo", "asymgrpo", "reinforce"):
        for seed in range(12):
            lab = ("berlin", "lima")[seed % 2]
            labs["m", arm, seed] = lab
            moved = shift * (1 if lab == "lima" else -1) * (arm == "asymgrpo")
            about = {"model": "m", "arm": arm, "train_seed": seed, "selection": "last", "sampling_sd": 0.01}
            rows.append(about | {"measure": "accuracy", "value": 0.5 + 0.01 * rng.normal() + moved})
            rows.append(about | {"measure": "mixed_share", "value": 0.6})
    return Pool(pa.Table.from_pylist(rows, SCHEMA).to_pandas(), "m", labs)


def test_laboratories_that_disagree_are_named_and_the_pool_is_less_sure() -> None:
    claim = next(claim for claim in CLAIMS if claim.id == "asym_grpo")
    alike, apart = synthetic(0.0), synthetic(0.1)
    told = [row for row in disagreements(apart) if row["id"] == "asym_grpo"]
    assert [(row["laboratory"], row["verdict"], row["n_seeds"]) for row in told] == [
        ("berlin", "contradicted", 6),
        ("lima", "supported", 6),
    ]
    assert all(row["differ"] and row["p_differ"] < 1e-6 for row in told)
    assert opposite(told) == ["asym_grpo"]
    assert not any(row["differ"] for row in disagreements(alike))
    pooled, whole = apart.decide(claim), decide_claim(claim, apart.measures)
    assert not isinstance(pooled, str)
    assert not isinstance(whole, str)
    assert pooled.std_error > 1.5 * whole.std_error
    assert numbers(pooled)["verdict"] == "inconclusive"
    unchanged = [row["estimate"] for row in disagreements(apart) if row["id"] == "grpo_reinforce"]
    assert unchanged == [row["estimate"] for row in disagreements(alike) if row["id"] == "grpo_reinforce"]


def test_the_workflow_takes_a_pool_as_one_bundle(
    bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"bundles": [str(bundles["berlin"]), f"south={bundles['lima']}"]}
    found = of_workflow.bundle_of(given)
    assert found is not None
    assert of_workflow.is_pool(found)
    assert of_workflow.need_pool(found) == []
    config = of_workflow.configuration(found, {"bundles": given["bundles"]}, given)
    assert "bundles" not in config
    assert config["study"]["seeds"] == SEEDS[:6]
    assert config["results"] == "results-study-pooled"
    again = of_workflow.bundle_of(given)
    assert again is not None
    assert (again.path, len(list(tmp_path.rglob("*.zip")))) == (found.path, 1)
    for wrong, phrase in (
        ({"bundles": "a.zip"}, "give a list"),
        (given | {"artifacts": "a.zip"}, "both given"),
        (given | {"train": {}}, "train cannot be set"),
    ):
        with pytest.raises(ConfigError, match=phrase):
            of_workflow.bundle_of(wrong)
    with pytest.raises(ConfigError, match="name the bundles"):
        of_workflow.need_pool(open_bundle(bundles["whole"]))


def test_tables_of_other_runs_are_refused(made: Path, tmp_path: Path) -> None:
    told = json.loads((made / LABORATORIES).read_text())
    told["oslo"]["runs"].remove(f"tiny/grpo/seed{SEEDS[7]}")
    (tmp_path / "labs.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match=f"no laboratory has tiny/grpo/seed{SEEDS[7]}"):
        tables.make(tmp_path / "labs.json", made / "run_scores.parquet", made / "measures.parquet", tmp_path)


def test_frames_keep_their_runs(made: Path) -> None:
    frame = read_table(made / "disagreements.parquet").to_pandas()
    assert set(frame["laboratory"]) == set(PARTS)
    oslo = frame[(frame["laboratory"] == "oslo") & (frame["id"] == "asym_grpo")].iloc[0]
    assert (oslo["verdict"], oslo["n_seeds"]) == ("not tested", 2)
    assert pd.notna(oslo["estimate"])
