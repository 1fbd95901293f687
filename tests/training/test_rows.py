import pytest

from tirage.core.errors import TrainingError
from tirage.core.step import Source, Span
from tirage.testing.builders import END_OF_TURN, Turn, decode_bytes, encode_bytes, make_rollout
from tirage.training.rows import IGNORED, TokenizerGuard, TokenRow, decode_trainable, mask_spans, row_id, trained_sources

HINTED = (
    Turn(hint="Use Python.\n", text="Sure. ", code="print(6*7)", output="SECRET-42"),
    Turn(text="The answer is 42."),
)


def row_of(*turns: Turn, hint_loss: bool) -> TokenRow:
    trajectory = make_rollout(*turns).trajectory
    assert trajectory is not None
    ids, labels = mask_spans(trajectory.spans, trained_sources(hint_loss=hint_loss))
    return TokenRow(id="x", input_ids=ids, labels=labels)


def test_every_source_gets_its_label() -> None:
    spans = [Span(source, source.value, (index,)) for index, source in enumerate(Source)]
    _, labels = mask_spans(spans, trained_sources(hint_loss=False))
    assert dict(zip(Source, labels, strict=True)) == {
        Source.PROMPT: IGNORED,
        Source.SCAFFOLD: IGNORED,
        Source.HINT: IGNORED,
        Source.POLICY: 3,
        Source.TOOL: IGNORED,
        Source.FORCED: IGNORED,
    }
    _, labels = mask_spans(spans, trained_sources(hint_loss=True))
    assert labels == (IGNORED, IGNORED, 2, 3, IGNORED, IGNORED)


def test_ids_are_those_of_the_trace_and_the_turn_end_is_trained() -> None:
    rollout = make_rollout(*HINTED)
    assert rollout.trajectory is not None
    row = row_of(*HINTED, hint_loss=False)
    assert row.input_ids == rollout.trajectory.token_ids
    assert row.labels[-1] == END_OF_TURN
    assert all(label in (IGNORED, token) for token, label in zip(row.input_ids, row.labels, strict=True))


def test_trained_text_is_what_the_policy_wrote() -> None:
    text = decode_trainable(row_of(*HINTED, hint_loss=False), decode_bytes)
    assert text == "Sure. ```python\nprint(6*7)\n```\nThe answer is 42."


def test_hint_loss_changes_exactly_the_hint_labels() -> None:
    without, with_hint = row_of(*HINTED, hint_loss=False), row_of(*HINTED, hint_loss=True)
    changed = [token for token, a, b in zip(without.input_ids, without.labels, with_hint.labels, strict=True) if a != b]
    assert without.input_ids == with_hint.input_ids
    assert tuple(changed) == encode_bytes("Use Python.\n")


def test_leading_spans_can_be_read_without_loss() -> None:
    spans = [Span(Source.POLICY, "ab", (1, 2)), Span(Source.POLICY, "c", (3,))]
    assert mask_spans(spans, trained_sources(hint_loss=False), mask_until=1) == ((1, 2, 3), (IGNORED, IGNORED, 3))


def test_a_span_without_ids_is_refused_with_the_remedy() -> None:
    trajectory = make_rollout(ids=False).trajectory
    assert trajectory is not None
    with pytest.raises(TrainingError, match=r"prompt span \('<user>.*has no token ids.*back end that returns ids"):
        mask_spans(trajectory.spans, trained_sources(hint_loss=False))


def test_row_id_names_nodes_mask_and_tokenizer() -> None:
    rollout = make_rollout(*HINTED)
    same = row_id(rollout, [1, 2], "a")
    assert same == row_id(make_rollout(*HINTED), [1, 2], "a")
    assert len({same, row_id(rollout, [1], "a"), row_id(rollout, [1, 2], "b"), row_id(make_rollout(*HINTED, sample=1), [1, 2], "a")}) == 4


def test_tokenizers_do_not_mix() -> None:
    guard = TokenizerGuard()
    guard.check(make_rollout())
    other = make_rollout(sample=1)
    object.__setattr__(other, "tokenizer_hash", "another")
    with pytest.raises(TrainingError, match="ids of tokenizer another, the others of bytes"):
        guard.check(other)
    with pytest.raises(TrainingError, match="has no tokenizer hash"):
        guard.check(make_rollout(ids=False))
