"""Protocols: every change is named, equal studies give equal bytes, and runs state theirs."""

import copy
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asymgrpo.errors import DataError, InputError
from asymgrpo.files import sha256_file
from asymgrpo.study import layout, settings
from asymgrpo.study.config import ConfigError, Study
from asymgrpo.study.stored import document, load_study
from evals.claims.table import CLAIMS
from evals.protocol import compare, content, files
from evals.protocol.rows import rows, stated_by
from evals.protocol.statements import statements
from workflow import protocols

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests/workflow/mini.yaml"
CLAIM = next(claim for claim in CLAIMS if claim.id == "asym_grpo")

Change = Callable[[Study], Study]


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study([CONFIG])


@pytest.fixture(scope="module")
def declared(study: Study) -> dict[str, Any]:
    return content.protocol(study)


def now_of(study: Study) -> dict[str, Any]:
    return content.by_code() | content.by_plan(settings.plan_of(study), study.evaluation.k, study.evaluation.endpoint)


def leaves(value: Any, key: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Keys of all values in mappings in mappings."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*key, name))
    else:
        yield key


def changed(document: dict[str, Any], key: tuple[Any, ...]) -> dict[str, Any]:
    """A document with another value at a key."""
    found = copy.deepcopy(document)
    place = found
    for name in key[:-1]:
        place = place[name]
    old = place[key[-1]]
    place[key[-1]] = not old if isinstance(old, bool) else old * 2 + 1 if isinstance(old, (int, float)) else ["other"]
    return found


def test_nothing_has_changed_in_what_was_declared_just_now(study: Study, declared: dict[str, Any]) -> None:
    now = now_of(study)
    assert compare.study_changes(declared, now) == []
    assert {compare.status(declared, now, claim.id, claim.arms) for claim in CLAIMS} == {compare.DECLARED}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_change_of_any_field_of_a_claim_is_named(claim: Any, declared: dict[str, Any]) -> None:
    for field in declared["claims"][claim.id]:
        now = changed(declared, ("claims", claim.id, field))
        told = compare.claim_changes(declared, now, claim.id)
        assert len(told) == 1
        assert told[0].startswith(f"{field} ")
        assert " -> " in told[0]
        assert compare.study_changes(declared, now) == [f"claim {claim.id}: {told[0]}"]
        assert compare.status(declared, now, claim.id, claim.arms) == f"changed after: {told[0]}"
        other = next(name for name in declared["claims"] if name != claim.id)
        assert compare.status(declared, now, other, []) == compare.DECLARED


def test_a_change_of_any_value_that_claims_share_is_named(declared: dict[str, Any]) -> None:
    keys = [(part, *key) for part in compare.OF_ALL for key in leaves(declared[part])]
    assert len(keys) > 60
    for key in keys:
        (told,) = compare.study_changes(declared, changed(declared, key))
        assert told.startswith(f"{'.'.join(map(str, key))} "), key


def test_a_change_of_an_arm_or_its_seeds_is_of_its_claims_alone(declared: dict[str, Any]) -> None:
    for key in [("arms", "grpo", "arm", *rest) for rest in leaves(declared["arms"]["grpo"]["arm"])] + [
        ("seeds", "grpo")
    ]:
        now = changed(declared, key)
        (told,) = compare.study_changes(declared, now)
        assert "grpo" in told
        assert compare.status(declared, now, CLAIM.id, ["asymgrpo", "grpo"]) == f"changed after: {told}"
        assert compare.status(declared, now, CLAIM.id, ["asymgrpo_clip_higher"]) == compare.DECLARED
    fewer = {**declared, "arms": {"grpo": declared["arms"]["grpo"]}}
    assert compare.study_changes(declared, fewer) == ["arms.asymgrpo_clip_higher left out"]
    assert compare.study_changes(fewer, declared) == ["arms.asymgrpo_clip_higher added"]


def test_claims_that_came_or_went_are_named(declared: dict[str, Any]) -> None:
    fewer = {**declared, "claims": {name: about for name, about in declared["claims"].items() if name != CLAIM.id}}
    assert compare.study_changes(declared, fewer) == [f"claim {CLAIM.id} left out"]
    assert compare.study_changes(fewer, declared) == [f"claim {CLAIM.id} added"]
    assert compare.status(fewer, declared, CLAIM.id, []) == "exploratory: added after the protocol"


def test_margins_are_told_as_readers_know_them(declared: dict[str, Any]) -> None:
    now = copy.deepcopy(declared)
    now["claims"][CLAIM.id]["margin"] = 0.014
    assert compare.claim_changes(declared, now, CLAIM.id) == ["margin 2.9 -> 1.4 points"]
    now["claims"][CLAIM.id]["margin"] = 0.02861
    assert compare.claim_changes(declared, now, CLAIM.id) == ["margin 0.0286 -> 0.02861"], "equal when rounded"


def test_a_long_sentence_is_told_from_where_it_differs(declared: dict[str, Any]) -> None:
    now = copy.deepcopy(declared)
    now["claims"][CLAIM.id]["statement"] = declared["claims"][CLAIM.id]["statement"] + 60 * "y" + " indeed"
    (told,) = compare.claim_changes(declared, now, CLAIM.id)
    assert len(told) < 200
    before, after = told.split(" -> ")
    assert before.removeprefix("statement ") != after


def test_changed_sources_are_named_and_do_not_undo_a_declaration(declared: dict[str, Any]) -> None:
    now = copy.deepcopy(declared)
    now["code"]["files"]["evals/claims/effects.py"] = "0" * 64
    assert compare.status(declared, now, CLAIM.id, []) == "declared before; changed after: evals/claims/effects.py"
    assert compare.study_changes(declared, now) == []


def test_a_new_source_alone_changes_nothing(declared: dict[str, Any]) -> None:
    now = copy.deepcopy(declared)
    now["code"]["files"]["evals/estimates/new.py"] = "0" * 64
    assert compare.status(declared, now, CLAIM.id, []) == "declared before"


def test_what_a_source_does_is_told_from_what_it_says() -> None:
    for path in content.sources().values():
        source = path.read_text()
        found = statements(source)
        assert statements("# new\n\n" + source.replace("\n\n", "\n\n\n# and here\n")) == found
        assert len(found) < len(source)
    source = (ROOT / "evals/claims/verdict.py").read_text()
    assert statements(source.replace(" < ", " <= ", 1)) != statements(source)


def test_the_sources_are_those_that_decide_by_their_content(tmp_path: Path) -> None:
    named, hashes = content.sources(), content.code()["files"]
    assert {"evals/claims/table.py", "evals/estimates/stats.py", "asymgrpo/method/advantages.py"} <= named.keys()
    for name, path in named.items():
        assert (ROOT / name).samefile(path)
        assert hashes[name] == hashlib.sha256(statements(path.read_text()).encode()).hexdigest()


def test_equal_studies_give_equal_bytes_of_standard_json(tmp_path: Path, declared: dict[str, Any]) -> None:
    """In another process, whose sets have another order."""
    out = tmp_path / "protocol.json"
    command = [sys.executable, "-m", "evals.protocol", "--configfile", str(CONFIG), "--out", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert out.read_text() == document(declared)
    assert files.sha256(declared) == sha256_file(out)
    assert files.sha256(declared) in done.stdout

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(out.read_text(), parse_constant=refuse) == files.read(out) == declared


def test_what_the_issue_asks_for_is_in_it(declared: dict[str, Any]) -> None:
    claim = declared["claims"]["asym_grpo"]
    assert claim["contrast"] == [{"asymgrpo": 1.0, "grpo": -1.0}]
    assert (claim["measure"], claim["margin"], claim["version"]) == ("accuracy", 0.0286, "v1")
    assert declared["analysis"]["alpha"] == 0.05
    assert declared["analysis"]["variance"] == "pooled"
    assert declared["analysis"]["m"] == len([about for about in declared["claims"].values() if about["contrast"]])
    assert declared["endpoint"]["k"] == [1, 2, 8]
    assert declared["endpoint"]["samples"] == {"chain2": 4, "chain4": 4}
    assert declared["endpoint"]["sampling"]["tiny"]["evaluation"]["temperature"] == 1.0
    assert declared["endpoint"]["checkpoints"]["tiny"]["evaluate_every"] == 1
    assert declared["seeds"] == {"grpo": [0], "asymgrpo_clip_higher": [0]}
    assert "degenerate_groups" in declared["arms"]["grpo"]["meaning"]
    assert declared["configuration"]["train"]["steps"] == 2
    assert declared["commit"] == os.environ["ASYMGRPO_COMMIT"]


def test_a_protocol_is_declared_once_and_read_as_it_was_written(tmp_path: Path, declared: dict[str, Any]) -> None:
    path = tmp_path / "protocol.json"
    files.write(declared, path)
    files.write(declared, path)
    with pytest.raises(files.ProtocolError, match="holds something else"):
        files.write(changed(declared, ("seeds", "grpo")), path)
    assert files.read(path) == declared
    path.write_text(json.dumps(declared))
    with pytest.raises(files.ProtocolError, match="changed by hand"):
        files.read(path)
    for text, error in (("{}", files.ProtocolError), ("[1]", files.ProtocolError), ("no json", DataError)):
        path.write_text(text)
        with pytest.raises(error):
            files.read(path)
    with pytest.raises(DataError, match="no such file"):
        files.read(tmp_path / "none.json")


def test_results_of_a_declared_study_state_its_protocol_and_others_are_as_they_were(study: Study) -> None:
    digest = 64 * "a"
    plain, named = settings.plan_of(study), settings.plan_of(study.model_copy(update={"protocol": f"sha256:{digest}"}))
    assert named == plain | {"protocol": digest}
    for of in (
        lambda plan: settings.run(plan, "tiny", "grpo", 0),
        lambda plan: settings.graded(plan, "tiny", "grpo", 0)["source"],
        lambda plan: settings.table(settings.part(plan, ["tiny"], ["base", "grpo"], ["chain2"]))["plan"],
        settings.of_training,
    ):
        assert of(named) == of(plain) | {"protocol": digest}
        assert "protocol" not in of(plain)
    assert settings.of_problems(named) == settings.of_problems(plain)
    assert settings.base_model(named, "tiny") == settings.base_model(plain, "tiny")
    with pytest.raises(settings.SettingsError, match="has not been read"):
        settings.plan_of(study.model_copy(update={"protocol": "protocol.json"}))


def test_the_protocol_is_a_leaf_of_a_declared_study_alone(study: Study) -> None:
    named = study.model_copy(update={"protocol": "sha256:aa"})
    assert set(layout.leaves(named)) - set(layout.leaves(study)) == {layout.PROTOCOL}


def test_a_configuration_names_its_protocol_by_hash(tmp_path: Path, declared: dict[str, Any]) -> None:
    path = tmp_path / "protocol.json"
    files.write(declared, path)
    config: dict[str, Any] = {"protocol": str(path)}
    assert protocols.take(config) == declared
    assert config == {"protocol": f"sha256:{sha256_file(path)}"}
    assert protocols.take(config) is None
    for none in (None, "null"):
        assert protocols.take({"protocol": none}) is None
    with pytest.raises(DataError, match="no such file"):
        protocols.take({"protocol": str(tmp_path / "missing.json")})


def test_a_study_that_changed_since_is_refused_by_name(study: Study, declared: dict[str, Any]) -> None:
    protocols.require(None, study)
    protocols.require(declared, study)
    parts: dict[str, tuple[str, dict[str, Any]]] = {
        "seeds.grpo [0] -> [0, 1]": ("study", {"seeds": [0, 1]}),
        "arms.asymgrpo_clip_higher left out": ("study", {"arms": ["grpo"]}),
        "endpoint.k [1, 2, 8] -> [1]": ("evaluation", {"k": [1]}),
        "endpoint.sampling.tiny.evaluation.temperature 1.0 -> 0.4": ("evaluation", {"temperature": 0.4}),
        'endpoint.selection ["best_on:chain4", "validation"] -> ["last"]': ("evaluation", {"selection": ["last"]}),
        "endpoint.samples.chain2 4 -> 8": ("evaluation", {"samples": {"default": 8}}),
        "endpoint.checkpoints.tiny.steps 2 -> 3": ("train", {"steps": 3}),
    }
    for phrase, (section, change) in parts.items():
        other = study.model_copy(update={section: getattr(study, section).model_copy(update=change)})
        with pytest.raises(ConfigError) as refused:
            protocols.require(declared, other)
        assert f"changed after: {phrase}" in str(refused.value)
    with pytest.raises(ConfigError, match=r"claim asym_grpo: margin 1\.0 -> 2\.9 points"):
        protocols.require(_with_margin(declared), study)
    unhurt = study.model_copy(update={"train": study.train.model_copy(update={"checkpoint_every": 7}), "name": "other"})
    protocols.require(declared, unhurt)


def _with_margin(declared: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(declared)
    found["claims"]["asym_grpo"]["margin"] = 0.01
    return found


def test_rows_say_which_runs_do_not_state_the_protocol(tmp_path: Path, declared: dict[str, Any]) -> None:
    path = tmp_path / "protocol.json"
    files.write(declared, path)
    digest = sha256_file(path)

    def metadata(arm: str, told: str | None) -> dict[str, Any]:
        return {"model": "m", "arm": arm, "train_seed": 0, "settings": {"protocol": told} if told else {}}

    stated = stated_by([metadata("asymgrpo", digest), metadata("grpo", digest), metadata("maxrl", None)])
    assert rows(path, stated, None)("m", CLAIM) == "declared before"
    missing = stated_by([metadata("asymgrpo", digest), metadata("grpo", 64 * "b")])
    assert rows(path, missing, None)("m", CLAIM) == "exploratory: runs without this protocol: grpo seed 0"
    assert rows(None, {}, None)("m", CLAIM) == compare.NO_PROTOCOL
    assert rows(None, stated, None)("m", CLAIM) == f"exploratory: protocol {digest[:12]} of its runs was not given"


def test_another_protocol_than_the_configurations_is_refused(
    tmp_path: Path, study: Study, declared: dict[str, Any]
) -> None:
    path = tmp_path / "protocol.json"
    files.write(declared, path)
    plan = settings.plan_of(study)
    asked = settings.table(plan | {"protocol": sha256_file(path)}, k=study.evaluation.k, endpoint="checkpoint")
    assert rows(path, {}, asked)("m", CLAIM) == "declared before"
    later = settings.table(plan | {"protocol": sha256_file(path)}, k=[1], endpoint="checkpoint")
    assert rows(path, {}, later)("m", CLAIM) == "changed after: endpoint.k [1, 2, 8] -> [1]"
    with pytest.raises(InputError, match="is not the protocol of this study's runs"):
        rows(path, {}, settings.table(plan | {"protocol": 64 * "c"}, k=[1, 2], endpoint="checkpoint"))
