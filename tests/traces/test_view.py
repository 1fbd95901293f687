from dataclasses import replace

from rich.console import Console

from tirage.core.step import Finish, Source, Span, Step
from tirage.core.trajectory import StopReason
from tirage.core.tree import Tree
from tirage.core.verdict import Verdict
from tirage.traces.view import excerpt, show_path, show_tree, verdict_text, visible

HALF = "\udc80"
"""Half of a surrogate pair, as byte-level decoding can give."""


def _plain(renderable, width=200):
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(renderable, soft_wrap=True)
    return capture.get()


def test_a_path_shows_every_span_with_its_author(make_rollout):
    text = _plain(show_path(make_rollout(0, hinted=True)))
    for line in ("    hint │ Let me use Python.", "  policy │ ```python", "         │ print(6*7)", "    tool │ 42", "scaffold │ ```"):
        assert line in text
    assert "right  score 1, answer '42' (phrase), math/1" in text
    assert "hint python-1 (code) at start, offset 0: start" in text
    assert "stopped: answered" in text
    assert "path: 80 tokens in, 42 out, 2 model calls, 1 tool calls" in text
    assert "tree: 140 tokens in, 52 out, 3 model calls" in text
    assert "mean logp -0.50" in text
    assert "\x1b" not in text


def test_another_node_can_be_shown(make_rollout):
    text = _plain(show_path(make_rollout(0), 3))
    assert "Perhaps 7?" in text
    assert "The answer is" not in text
    assert "wrong  score 0" in text
    assert "stopped: length" in text


def test_broken_and_empty_rollouts_say_so(make_rollout, make_broken):
    assert "error │ model: ModelUnavailable: connection refused" in _plain(show_path(make_broken()))
    assert "ungraded (nobody judged it)" in _plain(show_path(make_broken()))
    assert "nothing was produced" in _plain(show_path(make_rollout(empty=True)))


def test_the_tree_marks_verdicts_values_and_the_choice(make_rollout):
    lines = _plain(show_tree(make_rollout(0, hinted=True))).splitlines()
    tree = [line for line in lines if "N=" in line]
    assert tree == [
        "0  prompt  N=2 Q=0.50",
        "↓ 1  call  [hint python-1] ```python print(6*7) ``` → 42  N=2 Q=0.50",
        "  ├─ 2  answered  The answer is 42.  right  N=1 Q=1.00  ◀ chosen",
        "  └─ 3  length  Perhaps 7?  wrong  N=1 Q=0.00",
    ]


def _step(text):
    return Step(spans=(Span(Source.POLICY, text),), finish=Finish.STOP)


def test_a_deep_bushy_tree_keeps_its_shape(make_rollout):
    tree = Tree(problem_id="p", policy_id="x", seed=0, prompt=())
    for parent, text in ((0, "a"), (0, "b"), (1, "a1"), (3, "a2"), (4, "a3x"), (4, "a3y"), (2, "b1")):
        tree.add(parent, _step(text))
    text = _plain(show_tree(replace(make_rollout(), tree=tree, verdicts={})))
    body = [line.split("  open")[0].split("  stop")[0] for line in text.splitlines() if line.lstrip("├└─│↓ ")[:1].isdigit()]
    assert body == ["0  prompt", "├─ 1", "│  ↓ 3", "│  ↓ 4", "│    ├─ 5", "│    └─ 6", "└─ 2", "   ↓ 7"]


def test_a_chain_of_thousands_is_shown_without_recursion_and_cut(make_rollout):
    tree = Tree(problem_id="p", policy_id="x", seed=0, prompt=())
    for index in range(5000):
        tree.add(index, _step("s"), stop=StopReason.OPEN)
    text = _plain(show_tree(replace(make_rollout(), tree=tree, verdicts={}), most=100))
    assert "... 4901 more nodes" in text


def test_wrapping_keeps_the_gutter(make_rollout):
    rollout = make_rollout(question="word " * 60)
    console = Console(width=60, no_color=True)
    with console.capture() as capture:
        console.print(show_path(rollout, console=console))
    body = [line for line in capture.get().splitlines() if "word word" in line]
    assert len(body) >= 5
    assert all(line[9] == "│" and len(line) <= 60 for line in body)


def test_what_a_model_wrote_cannot_drive_the_terminal(make_rollout):
    nasty = "\x1b[31mred\x07\r\u202egnp.exe [bold]x[/bold] "
    assert visible(nasty + HALF) == "\\x1b[31mred\\x07\\x0d\\u202egnp.exe [bold]x[/bold] \\udc80"
    rollout = make_rollout(answer=nasty)
    rollout.tree.prompt = (Span(Source.PROMPT, nasty + HALF),)
    for shown in (show_path(rollout), show_tree(rollout)):
        text = _plain(shown)
        assert "\x1b" not in text
        assert HALF not in text
    assert "[bold]x[/bold]" in _plain(show_path(rollout))


def test_excerpts():
    assert excerpt("a\n b") == "a b"
    assert excerpt("x" * 100, 11) == "xxxxx…xxxxx"
    assert len(excerpt("y" * 100, 10)) == 10


def test_verdicts_in_words():
    ungraded = Verdict(correct=None, verifier="m/1", detail="timed out")
    assert verdict_text(ungraded, None).plain == "ungraded  m/1, timed out"
    assert verdict_text(None, False).plain == "wrong (nobody judged it)"
