"""SCRIT's critiques on a scripted model, as rollouts."""

from tirage.agents.explorer import SolveContext
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.models.base import Sampling
from tirage.rollouts.runner import judge
from tirage.systems.parts import AgentParts
from tirage.systems.scrit import build
from tirage.testing.models import ByteRenderer, ScriptedModel
from tirage.verification.factory import open_verifier


def text(request) -> str:
    return bytes(token for token in request.ids if token < 256).decode()


STUDY = "nonce-reference: count carefully."


def said(answer: int, conclusion: str = "incorrect", remark: str = "") -> str:
    return f"Step 1: Hm. {remark}Step 1 is {conclusion}.\nConclusion: {conclusion}\n<correction>\nIt is \\boxed{{{answer}}}.\n</correction>"


async def traces(*critiques: str, students: list[int] | None = None) -> list[Rollout]:
    """One rollout per critique; problem n has the answer n + 1, and its student is wrong unless told."""
    verifier, rollouts = open_verifier("math"), []
    for number, critique in enumerate(critiques):
        problem = Problem(prompt=f"What is {number} + 1?", answer=str(number + 1))
        student = f"Step 1: \\boxed{{{-1 if students is None else students[number]}}}"
        model = ScriptedModel(tags={"analyst": ["Add."], "critic": [critique]})
        agent = build(
            AgentParts(model=model, sampling=Sampling(max_tokens=2048)), given={problem.id: student}, references={problem.id: STUDY}
        )
        tree = await agent.solve(problem, SolveContext(seed=number))
        assert all(STUDY in text(request) for request in model.requests)
        rollouts.append(
            Rollout(
                key=f"scrit/{problem.id}/0",
                stage="scrit",
                problem=problem,
                sample=0,
                tree=tree,
                verdicts=await judge(tree, problem, verifier),
                model="scripted",
                tokenizer_hash=ByteRenderer.hash,
            )
        )
    await verifier.close()
    return rollouts
