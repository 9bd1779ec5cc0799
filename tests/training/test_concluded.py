"""A record of a concluded run that cannot be read loses the run nothing but time."""

from types import SimpleNamespace

import pytest

from asymgrpo.training import checkpoint as ck
from asymgrpo.training.run import Run


@pytest.mark.parametrize("text", ['{"history": {', "[]", "{}", '{"history": {"x": 1}, "metadata": {}}', "\x00"])
def test_it_is_named_and_the_run_goes_on_from_its_last_checkpoint(tmp_path, text):
    weights, said = [], []
    engine = SimpleNamespace(world_size=1, weights=lambda: "weights")
    trainer = SimpleNamespace(engine=engine, sampler=SimpleNamespace(update_weights=weights.append))
    run = Run(trainer, SimpleNamespace(steps=2), tmp_path, {}, str, None)
    (tmp_path / ck.CONCLUDED).write_text(text)
    assert run.resume(said.append) == 0
    assert ck.CONCLUDED in said[0]
    assert weights == ["weights"]
    assert (run.metadata, run.outcome, run.history.metrics) == (None, None, [])
    run.conclude(tmp_path / "out", {"sha256": "a"})
    again = Run(trainer, SimpleNamespace(steps=2), tmp_path, {}, str, None)
    assert again.resume(said.append) == 2
    assert again.metadata == {"sha256": "a"}
    assert len(said) == 1
