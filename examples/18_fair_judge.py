"""Judges: how easily one is swayed by what should not count, and what helps. `Debiased` wraps the valuer of a search like this."""

import asyncio

from tirage.evaluation.judge_bias import position_consistency, sensitivities
from tirage.judging.bias import JudgedPair, probe
from tirage.judging.judges import BothOrders, PairJudge, Panel, Presented
from tirage.judging.presentation import blind, each, level, plain
from tirage.testing.judges import biased_judge
from tirage.workflows.role_judges import ModelPairJudge
from tirage.workflows.role_models import RoleModels

WORK = "The price is multiplied by the number of pieces, the discount is taken off, and the tax is put on what is left of it. "
QUESTIONS = {"What do 3 pens at 4 cost?": ("12", "7"), "What is 20 % of 50?": ("10", "1000"), "What is 9 * 9?": ("81", "18")}
PAIRS = [
    JudgedPair(name=question, question=question, chosen=f"{WORK}That is \\boxed{{{right}}}.", rejected=f"{WORK}That is \\boxed{{{wrong}}}.")
    for question, (right, wrong) in QUESTIONS.items()
]
RIGHT = [right for right, _ in QUESTIONS.values()]
CUES = ("length", "authority", "markdown", "identity", "position")


def judge(cue: str | None) -> ModelPairJudge:
    """A scripted model that falls for one cue; put a real one in its place."""
    return ModelPairJudge(RoleModels(model=biased_judge(cue, RIGHT)))


async def show(name: str, asked: PairJudge) -> None:
    """The Bias Sensitivity Rate of each cue: how many of its right rulings the cue turns."""
    probes = await probe(asked, PAIRS, cues=CUES)
    rates = "  ".join(f"{item.cue} {'-' if item.rate is None else f'{item.rate:.0%}'}" for item in sensitivities(probes))
    print(f"{name:<32} {rates}  same winner in both orders: {position_consistency(probes).share:.0%}")


async def main() -> None:
    """Bare judges, then the same ones behind wrappers."""
    await show("loves length", judge("length"))
    await show("loves length, shown level", Presented(judge("length"), level))
    await show("loves Markdown", judge("markdown"))
    await show("loves Markdown, shown plain", Presented(judge("markdown"), each(blind, plain)))
    await show("takes the first", judge("position"))
    await show("takes the first, both orders", BothOrders(judge("position")))
    await show("bows to authority", judge("authority"))
    await show("bows to authority, panel of 3", Panel([judge("authority"), judge("identity"), judge(None)]))


asyncio.run(main())
