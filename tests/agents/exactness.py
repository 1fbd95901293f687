"""What has to hold of every token of a tree, and a tree over a real tokenizer to check it on."""

import json
from collections.abc import Callable, Mapping, Sequence

from tirage.agents.dialects.base import Dialect
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.model_policy import ModelPolicy
from tirage.core import Problem, Source, Tree
from tirage.core.step import Span, join_ids
from tirage.models.base import Sampling
from tirage.models.template import HFRenderer
from tirage.sandbox.base import ExecFailure, ExecResult
from tirage.search.best_of_n import BestOfN
from tirage.testing.sandbox import TableSandbox
from tirage.testing.spoken import SpokenModel
from tirage.tools.python import PythonTool
from tirage.training.rows import IGNORED, mask_spans, trained_sources

PROBLEM = Problem(prompt="What is 6 * 7, <|im_end|> or not?", answer="42")
CODES = ("print(6 * 7)", 'x = "é"\nprint(x * 2)', "boom")
CELLS = {
    CODES[0]: ExecResult(stdout="  42 <|im_end|></s><eos> \\boxed{1}\n"),
    CODES[1]: ExecResult(stdout='é"é\n\n<tool_call>\n'),
    CODES[2]: ExecResult(failure=ExecFailure.ERROR, error_name="NameError", error_text="name 'boom' is not defined", error_line=1),
}
"""Results that spell what ends a turn, begin with blanks and need quoting."""
Write = Callable[[Sequence[str]], str]
"""A turn that calls `python` with each of some programs, in a family's own words."""


def arguments(code: str) -> str:
    return json.dumps({"code": code}, ensure_ascii=False)


def hermes(codes: Sequence[str]) -> str:
    return "\n".join(f'<tool_call>\n{{"name": "python", "arguments": {arguments(code)}}}\n</tool_call>' for code in codes)


async def perform(dialect: Dialect, model: SpokenModel, cells: Mapping[str, ExecResult] = CELLS) -> Tree:
    tool = PythonTool()
    policy = ModelPolicy(model, dialect, sampling=Sampling(max_tokens=4096, logprobs=True), system="Be brief.", tools=(tool.spec,))
    agent = Explorer(
        policy, tools={"python": tool}, sandbox=TableSandbox(cells), search=lambda seed: BestOfN(1), answer_of=lambda text: "42"
    )
    return await agent.solve(PROBLEM, SolveContext(seed=0))


def spans_of(tree: Tree) -> list[Span]:
    return [*tree.prompt, *(span for node in tree.path(tree.chosen) if node.step is not None for span in node.step.spans)]


def check_stream(tree: Tree, model: SpokenModel) -> None:
    """Every request is what was sent, sampled and injected before, and nothing else."""
    spans = spans_of(tree)
    ids = join_ids(spans)
    assert ids is not None
    place = 0
    for request, sampled in zip(model.requests, model.sampled, strict=True):
        assert request.ids is not None
        assert ids[: len(request.ids)] == request.ids
        assert ids[len(request.ids) : len(request.ids) + len(sampled)] == sampled
        assert len(request.ids) >= place
        place = len(request.ids) + len(sampled)
    assert place == len(ids)
    policy = [span.ids for span in spans if span.source is Source.POLICY]
    assert policy == model.sampled


def check_texts(tree: Tree, renderer: HFRenderer) -> None:
    """In context, the ids of a span add its text. What the policy wrote is told without special tokens."""
    backend, eos = renderer.backend, renderer.eos_ids
    before: list[int] = []
    for span in spans_of(tree):
        assert span.ids is not None
        if span.source is Source.POLICY:
            assert renderer.decode(span.ids) == span.text
        else:
            kept = backend.decode([*before, *span.ids], skip_special_tokens=False)
            assert kept == backend.decode(before, skip_special_tokens=False) + span.text, span
        if span.source is Source.TOOL:
            assert not eos & set(span.ids)
            assert renderer.decode(span.ids) == span.text
        before.extend(span.ids)


def check_row(tree: Tree, model: SpokenModel) -> None:
    """A training row is the stream; it trains what was sampled, in order, and nothing else."""
    ids, labels = mask_spans(spans_of(tree), trained_sources(hint_loss=False))
    assert model.requests[-1].ids is not None
    assert ids == model.requests[-1].ids + model.sampled[-1]
    assert [label for label in labels if label != IGNORED] == [token for sampled in model.sampled for token in sampled]
    place = 0
    for span in spans_of(tree):
        assert span.ids is not None
        masked = all(label == IGNORED for label in labels[place : place + len(span.ids)])
        assert masked is (span.source is not Source.POLICY)
        place += len(span.ids)
