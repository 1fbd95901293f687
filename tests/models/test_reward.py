"""A process reward model on real (tiny) weights: what is scored is what stands at each step's end."""

from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="install tirage[local]")

from tirage.core.errors import ConfigError, ModelError, ModelRequestError
from tirage.models.reward import open_reward_model


@pytest.fixture(scope="module")
def classifier(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label 1 exactly where the hidden state is what the tiny model makes of it: random, but real."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("prm") / "prm"
    torch.manual_seed(5)
    AutoModelForTokenClassification.from_pretrained(tiny_folder, num_labels=2).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(folder)
    return folder


def test_each_step_is_scored_at_its_end_and_not_by_what_follows(classifier: Path) -> None:
    model = open_reward_model(str(classifier))
    (whole,) = model.step_scores([("1 + 1?", ["one and one", "is two"])])
    (first,) = model.step_scores([("1 + 1?", ["one and one"])])
    assert len(whole) == 2
    assert whole[0] == pytest.approx(first[0], abs=1e-5)
    assert all(0 < score < 1 for score in whole)
    assert whole[0] != pytest.approx(whole[1], abs=1e-4)


def test_a_batch_scores_as_one_by_one(classifier: Path) -> None:
    model = open_reward_model(str(classifier))
    solutions = [("a", ["b", "c"]), ("a much longer problem", ["with one step"]), ("a", [])]
    together = model.step_scores(solutions)
    alone = [model.step_scores([solution])[0] for solution in solutions]
    for left, right in zip(together, alone, strict=True):
        assert left == pytest.approx(right, abs=1e-5)
    steps = together[0]
    assert model.scores(solutions, aggregate="min")[0] == min(steps)
    assert model.scores(solutions, aggregate="last")[0] == steps[1]
    assert model.scores(solutions, aggregate="product")[0] == pytest.approx(steps[0] * steps[1])
    assert model.scores(solutions)[2] == 0.0


def test_what_cannot_be_used_says_why(classifier: Path, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelRequestError, match="its context 256"):
        open_reward_model(str(classifier)).step_scores([("x" * 300, ["y"])])
    with pytest.raises(ModelError, match="no token of its tokenizer"):
        open_reward_model(str(classifier), separator="")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_reward_model(str(tmp_path / "empty"))


def test_a_search_goes_by_it(classifier: Path, tmp_path: Path) -> None:
    import tirage
    from tests.cli.test_main import script

    model = script(tmp_path, "\\boxed{1}", "\\boxed{2}", "\\boxed{3}")
    solution = tirage.search("1 + 1?", strategy="weighted-n", options={"n": 3}, valuer="prm", prm=str(classifier), model=model)  # type: ignore[operator]
    assert len(set(solution.tree.values.values())) == 3
    assert solution.tree.chosen == max(solution.tree.values, key=lambda index: solution.tree.values[index])
    with pytest.raises(ConfigError, match="needs a process reward model"):
        tirage.search("1 + 1?", valuer="prm", model=model)  # type: ignore[operator]
