"""Hand-made rollouts with a tree that branches."""

from collections.abc import Callable

from tirage.core.hint import HintPosition, HintUse
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.step import Finish, Source, Span, Step, Usage
from tirage.core.trajectory import Failure, StopReason
from tirage.core.tree import Tree
from tirage.core.verdict import Verdict

MakeRollout = Callable[..., Rollout]


def _ids(text: str) -> tuple[int, ...]:
    return tuple(text.encode())


def span(source: Source, text: str, *, ids: bool = True) -> Span:
    codes = _ids(text) if ids else None
    logprobs = tuple(-0.5 for _ in codes) if codes is not None and source is Source.POLICY else None
    return Span(source, text, codes, logprobs)


def build(
    sample: int = 0,
    *,
    stage: str = "before",
    question: str = "What is 6 * 7?",
    answer: str = "42",
    correct: bool | None = True,
    hinted: bool = False,
    ids: bool = True,
    empty: bool = False,
) -> Rollout:
    """A rollout whose tree is: root -> code step -> (right end, wrong end); the chosen end is node 2."""
    problem = Problem(prompt=question, answer=answer, source="toy", metadata={"family": "product", "tier": 2})
    tree = Tree(problem_id=problem.id, policy_id="toy/fenced", seed=sample, prompt=(span(Source.PROMPT, f"Q: {question}\nA: ", ids=ids),))
    verdicts: dict[int, Verdict] = {}
    if not empty:
        opening = [span(Source.HINT, "Let me use Python. ", ids=ids)] if hinted else []
        hint = HintUse(hint_id="python-1", family="code", position=HintPosition.START, offset=0, reason="start") if hinted else None
        first = tree.add(
            0,
            Step(
                spans=(
                    *opening,
                    span(Source.POLICY, "```python\nprint(6*7)\n```", ids=ids),
                    span(Source.SCAFFOLD, "\n```output\n", ids=ids),
                    span(Source.TOOL, "42\n", ids=ids),
                    span(Source.SCAFFOLD, "```\n", ids=ids),
                ),
                finish=Finish.CALL,
                calls=(ToolCall(name="python", arguments='{"code": "print(6*7)"}'),),
                observations=(Observation(text="42\n", status=ObservationStatus.OK, duration_s=0.01, data={"layers": ["userns"]}),),
                hint=hint,
                usage=Usage(tokens_in=20, tokens_out=24, model_calls=1, tool_calls=1, sandbox_s=0.01),
            ),
        )
        said = answer if correct else "41"
        right = tree.add(
            first.index,
            Step(
                spans=(span(Source.POLICY, f"The answer is {said}.", ids=ids),),
                finish=Finish.STOP,
                usage=Usage(tokens_in=60, tokens_out=18, model_calls=1),
            ),
            stop=StopReason.ANSWERED,
        )
        wrong = tree.add(
            first.index,
            Step(
                spans=(span(Source.POLICY, "Perhaps 7?", ids=ids),),
                finish=Finish.LENGTH,
                usage=Usage(tokens_in=60, tokens_out=10, model_calls=1),
            ),
            stop=StopReason.LENGTH,
            sample=1,
        )
        score = None if correct is None else float(correct)
        verdicts[right.index] = Verdict(correct=correct, score=score, verifier="math/1", answer=said, extraction="phrase")
        verdicts[wrong.index] = Verdict(correct=False, score=0.0, verifier="math/1")
        tree.visits[:] = [2, 2, 1, 1]
        tree.value_sum[:] = [1.0, 1.0, 1.0, 0.0]
        tree.chosen = 2
    return Rollout(
        key=f"{stage}/{problem.id}/{sample}",
        stage=stage,
        problem=problem,
        sample=sample,
        tree=tree,
        verdicts=verdicts,
        model="toy@abc123",
        tokenizer_hash="feedbeef" if ids else "",
        config_hash="c0ffee",
        sampling={"temperature": 0.7, "max_tokens": 64},
        wall_s=0.25,
        finished_at=1_700_000_000.0 + sample,
    )


def build_broken(sample: int = 0, *, stage: str = "before") -> Rollout:
    """A rollout whose only step failed at the model: ungraded, with an error."""
    problem = Problem(prompt="What broke?", answer="1", metadata={"family": "product"})
    tree = Tree(problem_id=problem.id, policy_id="toy/fenced", seed=0, prompt=(span(Source.PROMPT, "Q: What broke?"),))
    tree.add(
        0,
        Step(spans=(), finish=Finish.ERROR),
        stop=StopReason.ERROR,
        error=Failure(boundary="model", kind="ModelUnavailable", message="connection refused"),
    )
    tree.chosen = 1
    return Rollout(
        key=f"{stage}/{problem.id}/{sample}",
        stage=stage,
        problem=problem,
        sample=sample,
        tree=tree,
        verdicts={},
        model="toy@abc123",
    )
