from collections import Counter

import pytest

from tirage.core.errors import ConfigError, DataError
from tirage.problems.base import is_heldout
from tirage.problems.splits import Mixture, draw_split, load_mixture, parse_mixture

SMALL = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    families = {
        "chain_sum": {"easy": SMALL, "hard": {"min_terms": 4}},
        "products": {"easy": SMALL},
        "gcd": {"easy": {}, "hard": {"max_value": 9999}},
    }
    return parse_mixture({"families": families, "never_trained": {"spell_backward": {}}})


def test_no_question_is_on_two_sides_even_in_tiny_families(mixture):
    train = draw_split(mixture, "train", count=150, seed=1)
    heldout = draw_split(mixture, "heldout", count=60, seed=2)
    assert (len(train), len(heldout)) == (150, 60)
    texts = Counter(" ".join(p.prompt.lower().split()) for p in (*train, *heldout))
    assert max(texts.values()) == 1
    assert all(is_heldout(p.prompt) == (p.split == "heldout") for p in (*train, *heldout))


def test_seeds_stay_in_their_ranges(mixture):
    for split in ("train", "heldout", "unseen"):
        seeds = mixture.seeds(split)
        for problem in draw_split(mixture, split, count=10):
            assert seeds.start <= problem.metadata["seed"]
            assert problem.metadata["seed"] + problem.metadata["size"] <= seeds.stop


def test_same_arguments_same_problems_and_other_seeds_others(mixture):
    first = draw_split(mixture, "heldout", count=20, seed=5)
    assert first.fingerprint == draw_split(mixture, "heldout", count=20, seed=5).fingerprint
    assert first.fingerprint != draw_split(mixture, "heldout", count=20, seed=6).fingerprint


def test_every_prefix_is_a_fair_mixture(mixture):
    problems = draw_split(mixture, "train", count=25)
    cells = Counter((p.family, p.tier) for p in problems[:10])
    assert len(cells) == 5
    assert set(cells.values()) == {2}


def test_a_dry_family_leaves_its_share_to_the_others(mixture):
    counts = Counter(p.family for p in draw_split(mixture, "heldout", count=200))
    assert counts["products"] < 40
    assert sum(counts.values()) == 200


def test_tiers_and_unseen_families(mixture):
    assert {p.tier for p in draw_split(mixture, "train", count=8, tiers=("hard",))} == {"hard"}
    assert {(p.family, p.split, p.tier) for p in draw_split(mixture, "unseen", count=3)} == {("spell_backward", "unseen", "-")}


def test_what_cannot_be_drawn_is_said(mixture):
    with pytest.raises(ConfigError, match="unknown tier medium; the mixture has easy, hard"):
        draw_split(mixture, "train", count=1, tiers=("medium",))
    with pytest.raises(ConfigError, match="count=0"):
        draw_split(mixture, "train", count=0)
    tiny = parse_mixture({"families": {"products": {"easy": SMALL}}})
    with pytest.raises(DataError, match=r"only \d+ distinct heldout problems"):
        draw_split(tiny, "heldout", count=1000)
    with pytest.raises(ConfigError, match="no families for the split 'unseen'"):
        draw_split(tiny, "unseen", count=1)


def test_the_embedded_models_mixture_is_valid_and_draws():
    nano = load_mixture()
    assert nano.tiers == ("easy", "medium", "hard")
    assert nano.seeds("train").stop == nano.train_seed_from
    problems = draw_split(nano, "heldout", count=len(nano.cells("heldout")))
    assert {(p.family, p.tier) for p in problems} == {(family, tier) for family, tier, _ in nano.cells("heldout")}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"families": {}, "famlies": {}}, "famlies: Extra inputs"),
        ({}, "families: Field required"),
        ({"families": {"gcd": {"easy": 3}}}, "families.gcd.easy"),
        ({"families": {}, "train_seed_from": 5}, "heldout_seed_below <= rounds_seed < train_seed_from"),
        ({"families": {"gcd": {"easy": {}}}, "never_trained": {"gcd": {}}}, "gcd stand in families and in never_trained"),
        ({"families": {}, "version": 2}, "version"),
    ],
)
def test_a_wrong_mixture_is_refused_by_key(data, message):
    with pytest.raises(ConfigError) as caught:
        parse_mixture(data)
    assert message in str(caught.value)


def test_unreadable_mixture_files(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the mixture"):
        load_mixture(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("families: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_mixture(tmp_path / "a.yaml")
