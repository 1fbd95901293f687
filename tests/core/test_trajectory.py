import pytest

from tirage.core import Finish, HintPosition, HintUse, Observation, Source, Span, Step, StopReason, ToolCall, Trajectory, Usage
from tirage.core.step import join_ids

HINT = HintUse(hint_id="h1", family="code", position=HintPosition.START, offset=0, reason="start")


def _trajectory(*steps):
    prompt = (Span(Source.PROMPT, "Q:", (1, 2)),)
    return Trajectory(problem_id="p", policy_id="x", seed=0, prompt=prompt, steps=steps, stop=StopReason.ANSWERED)


CALL = Step(
    spans=(
        Span(Source.HINT, "use code ", (10, 11)),
        Span(Source.POLICY, "run()", (20, 21, 22), (-0.1, -0.2, -0.3)),
        Span(Source.SCAFFOLD, "<out>", (30,)),
        Span(Source.TOOL, "4", (40,)),
        Span(Source.SCAFFOLD, "</out>", (31,)),
    ),
    finish=Finish.CALL,
    calls=(ToolCall(name="python", arguments="{}"),),
    observations=(Observation(text="4"),),
    hint=HINT,
    usage=Usage(tokens_in=4, tokens_out=3, model_calls=1, tool_calls=1, sandbox_s=0.5),
)
ANSWER = Step(
    spans=(Span(Source.FORCED, "So ", (50,)), Span(Source.POLICY, "4.", (23, 99), (-0.4, -0.5))),
    finish=Finish.STOP,
    usage=Usage(tokens_in=10, tokens_out=2, model_calls=1, cost_usd=0.25),
)


def test_ids_are_what_the_model_read_and_wrote_in_order():
    path = _trajectory(CALL, ANSWER)
    assert path.token_ids == (1, 2, 10, 11, 20, 21, 22, 30, 40, 31, 50, 23, 99)
    assert path.response == "use code run()<out>4</out>So 4."


def test_a_loss_mask_follows_from_the_sources():
    """The policy's tokens, its end-of-turn token included, and nothing else: prompt, hint, glue, tool and forced text are not trained."""
    path = _trajectory(CALL, ANSWER)
    mask = [source is Source.POLICY for source in path.token_sources]
    assert [token for token, trained in zip(path.token_ids, mask, strict=True) if trained] == [20, 21, 22, 23, 99]
    assert mask == [False] * 4 + [True] * 3 + [False] * 4 + [True] * 2


def test_the_hint_ablation_follows_from_the_sources_too():
    path = _trajectory(CALL, ANSWER)
    kept = [token for token, source in zip(path.token_ids, path.token_sources, strict=True) if source is not Source.HINT]
    assert kept == [1, 2, 20, 21, 22, 30, 40, 31, 50, 23, 99]


def test_one_span_without_ids_makes_the_path_text_only():
    text_only = Step(spans=(Span(Source.TOOL, "x"),), finish=Finish.CALL)
    path = _trajectory(CALL, text_only, ANSWER)
    assert path.token_ids is None
    assert path.token_sources is None
    assert path.response.count("x") == 1


def test_an_empty_id_list_is_not_a_missing_one():
    assert join_ids([Span(Source.POLICY, "", ()), Span(Source.POLICY, "a", (1,))]) == (1,)
    assert join_ids([]) == ()
    assert join_ids([Span(Source.POLICY, "")]) is None


def test_what_a_step_and_a_path_add_up_to():
    path = _trajectory(CALL, ANSWER)
    assert path.usage == Usage(tokens_in=14, tokens_out=5, model_calls=2, tool_calls=1, sandbox_s=0.5, cost_usd=0.25)
    assert path.hints == (HINT,)
    assert path.used_tool
    assert not _trajectory(ANSWER).used_tool
    assert not _trajectory(Step(spans=(), finish=Finish.CALL, calls=CALL.calls)).used_tool
    assert (CALL.policy_text, ANSWER.text) == ("run()", "So 4.")


def test_no_steps_at_all():
    path = _trajectory()
    assert (path.token_ids, path.response, path.usage, path.hints) == ((1, 2), "", Usage(), ())


@pytest.mark.parametrize(("ids", "logprobs"), [((1,), (0.1, 0.2)), ((1, 2), (0.1,)), (None, (0.1,)), ((), (0.1,))])
def test_log_probabilities_line_up_with_ids(ids, logprobs):
    with pytest.raises(ValueError, match="one entry per id"):
        Span(Source.POLICY, "x", ids, logprobs)


def test_values_are_frozen():
    with pytest.raises(AttributeError):
        ANSWER.finish = Finish.CUT  # type: ignore[misc]
    with pytest.raises(AttributeError):
        ANSWER.spans[0].text = "y"  # type: ignore[misc]
