from typing import Any

import pytest

from tirage.evaluation.intervals import wilson
from tirage.evaluation.judge_bias import position_consistency, sensitivities
from tirage.judging.bias import Probe


def probes(cue, rulings):
    words: dict[str, Any] = {"c": "chosen", "r": "rejected", "t": "tie"}
    return [Probe(pair=str(n), cue=cue, before=words[before], after=words[after]) for n, (before, after) in enumerate(rulings)]


def test_the_rate_counts_right_rulings_that_turn():
    # Right before: 4 of 6 (a tie is not right). Of these 3 turn, one of them into a tie. Right after: 2 of 6.
    (found, over_all) = sensitivities(probes("length", ["cc", "cr", "cr", "ct", "rc", "tt"]))
    assert (found.probes, found.right_before, found.turned, found.rate) == (6, 4, 3, 0.75)
    assert (found.accuracy_before, found.accuracy_after) == (pytest.approx(4 / 6), pytest.approx(2 / 6))
    assert found.interval == wilson(3, 4)
    assert (found.before, found.after) == (wilson(4, 6), wilson(2, 6))
    assert (over_all.cue, over_all.rate) == ("all", 0.75)


def test_over_all_cues_a_pair_is_drawn_whole():
    found = sensitivities([*probes("length", ["cc"] * 6 + ["cr"] * 6), *probes("authority", ["cc"] * 12)])
    assert [(item.cue, item.rate) for item in found] == [("length", 0.5), ("authority", 0.0), ("all", 0.25)]
    assert found[2].interval.method == "bca"
    assert found[2].interval.low < 0.25 < found[2].interval.high


def test_without_a_right_ruling_there_is_no_rate_and_without_probes_no_line():
    found = sensitivities(probes("length", ["rr", "tc"]))
    assert [item.rate for item in found] == [None, None]
    assert (found[0].interval.low, found[0].interval.high) == (0.0, 1.0)
    assert sensitivities([]) == []


def test_consistency_is_about_the_position_cue_alone():
    found = position_consistency([*probes("position", ["cc", "rr", "tt", "cr"]), *probes("length", ["cr"] * 9)])
    assert (found.pairs, found.same, found.share) == (4, 3, 0.75)
    assert found.interval == wilson(3, 4)
    assert position_consistency([]).share is None
