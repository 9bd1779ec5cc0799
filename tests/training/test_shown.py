"""The first steps say how far sampler and trainer are apart; later ones do not."""

import re

import pytest

from asymgrpo.method.arms import ARMS
from asymgrpo.method.conventions import meaning
from asymgrpo.progress import Progress
from asymgrpo.training.run import SHOWN_STEPS, Run
from tests.helpers.tiny_trainer import join, make_trainer, settings


@pytest.fixture(scope="module", autouse=True)
def _process_group():
    join()


class Tokenizer:
    def save_pretrained(self, directory):
        (directory / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(("gate", "said"), [(1.01, "train.mismatch_gate 1.01"), (None, "not gated")])
def test_the_first_steps_print_their_mismatch(tmp_path, capsys, gate, said):
    steps = SHOWN_STEPS + 2
    train = settings(steps=steps, checkpoint_every=steps, evaluate_every=steps, mismatch_gate=gate)
    run = Run(make_trainer(train=train), train, tmp_path, {}, str, Tokenizer())
    run.train_steps(1, Progress("run", steps, 0, enabled=False))
    shown = re.findall(r"step (\d+): token_mult_prob_error (\d\.\d{6}) \((.*)\)", capsys.readouterr().err)
    assert [int(step) for step, _, _ in shown] == list(range(1, SHOWN_STEPS + 1))
    told = [row["token_mult_prob_error"] for row in run.history.metrics]
    assert [float(value) for _, value, _ in shown] == pytest.approx(told[:SHOWN_STEPS], abs=1e-6)
    assert {words for _, _, words in shown} == {said}


@pytest.mark.parametrize("name", ARMS)
def test_every_arms_listing_names_the_correction_of_the_samplers_probabilities(name):
    assert "train.importance_cap" in meaning(ARMS[name])["importance_correction"]
