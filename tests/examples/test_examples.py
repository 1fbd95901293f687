"""Every numbered example and the README's own Python run as a stranger would run them, and say what they promise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tirage.core.errors import ConfigError
from tirage.problems import FileSource
from tirage.runtime.config import ImproveConfig
from tirage.runtime.config_files import load_config

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9][0-9]_*.py"))

PROMISED = {
    "01_solve_one_problem": [r"^answer: +\S", r"^correct: (True|False)$", r"^tokens: .*\d+ by hint.*\d+ by policy"],
    "02_agent_from_parts": [
        r"^step 1: error +NameError",
        r"^step 3: ok +1060$",
        r"^answer: 1060 \| stopped because: answered$",
        r"4 model calls",
    ],
    "03_hints_and_spans": [
        r"^no hint: answer 55200$",
        r"(?s)^start: answer 56211$.*because: start$",
        r"(?s)^marker: answer 56211$.*because: Wait$",
        r"(?s)^end_of_thinking: answer 56211$.*because: end-of-thinking$",
        r"^ +hint +\d+ tokens .*Python",
    ],
    "04_best_of_n": [r"^votes: .*-> answer 13$", r"3 nodes, ended by 'budget: model_calls'$"],
    "05_verify_answers": [r"^ +right +0\.5 +vs 1/2", r"^ +right +\(x-1\)\(x\+1\)", r"^ +wrong +None", r"^ungraded .*no reference answer$"],
    "06_store_and_query_traces": [r"^6 of 6 done, 0 of them before; 4 of 6 right$", r"^6 of 6 done, 6 of them before", r"^wrong: .*Lyon"],
    "07_build_rows": [
        r"^decontaminate +5 -> 4",
        r"^dedupe +3 -> 2",
        r"^trained: 'Compute\. ```python\\nprint\(6 \* 7\)\\n```\\nIt",
        r"^sound: True$",
    ],
    "08_evaluate": [
        r"^before accuracy 0\.427",
        r"pass@8 0\.\d+, maj@5",
        r"^difference \+0\.073 .*sign-flip-exact",
        r"3 of 4 right, 1 ungraded",
    ],
    "09_full_round": [r"^Accuracy ", r"^ +33 rollouts +train-hinted$", r"^[1-9]\d* rows;", r"'report\.html'"],
    "10_sandbox_branches": [
        r"^left draws +(\[1, 2, 3, \d+\])\nright draws the same +\1$",
        r"^the parent saw nothing +\[1, 2, 3\]$",
        r"^a loop deaf to interrupts +timeout-killed",
        r"^left is as it was +\[1, 2, 3, \d+\]$",
        r"^your files +error: (FileNotFound|Permission)Error",
        r"^the network +error",
        r"handed over on purpose",
    ],
    "11_tree_search": [
        r"^wanderer: 4?[0-9]+ nodes",
        r"^best-first: \d\d nodes, 4 deep, opened: True$",
        r"^mcts: \d\d nodes, 4 deep, opened: True$",
    ],
    "12_octotools": [
        r"^analyser -> predictor -> commander -> executor -> verifier -> predictor -> commander -> executor -> verifier -> summariser$",
        r"^search .*417 days",
        r"^python .*1251$",
        r"^answer: 1251, 8 model calls, 2 tool calls$",
        r"^with 5 calls: budget: model_calls$",
    ],
    "13_socratic_questioning": [
        r"^depth 1, turn 1: confidence low$",
        r"^  depth 2, turn 1: confidence high$",
        r"^hint by hint: \['384', '380', '384'\] -> 384$",
        r"^11 model calls of at most 38$",
    ],
    "14_art_programs": [
        r"^shown: word-problems",
        r"^Q2: \[code execute\] Run #1\n#2: 4242\nQ3: \[EOQ\]\nAns: 4242$",
        r"^answer: 4242, the model's own guess was 4200$",
        r"^after an edit word-problems begins with: How many wheels have 3 cars\?$",
    ],
    "16_checked_candidates": [
        r"^node 1: answer 14, rejected, reward None$",
        r"^node 7: answer 13, passes, reward 0\.88",
        r"^majority: 14; checked and weighted: 13; the tree's own choice is node 7$",
        r"^precision 1\.0, recall 1\.0, pass@4 1\.0$",
        r"^right among N candidates: \{1: 0\.25, 2: 0\.5, 4: 1\.0\}$",
        r"^with 7 model calls: 2 candidates checked, ended by 'budget: model_calls'$",
    ],
    "17_critiques": [
        r"^What is 8 \* 8\? +wrong -> right$",
        r"^What is 11 \* 11\? +wrong -> wrong \(no correction\)$",
        r"^right kept 0\.5, wrong fixed 0\.5, without a correction 1$",
        r"^accuracy 0\.5 -> 0\.5 \[0\.15, 0\.85\]$",
    ],
    "18_fair_judge": [
        r"^loves length +length 100% .*position 0%",
        r"^loves length, shown level +length 0%",
        r"^takes the first +.*position 100% .*same winner in both orders: 0%$",
        r"^bows to authority, panel of 3 +length 0%  authority 0%",
    ],
    "19_debate": [
        r"^parrot defends 144 against reasoner: con wins after 2 rounds$",
        r"^reasoner: 4 wins, defending 100%, challenging 100%, rating 1191$",
        r"^the official answer held in 50%$",
    ],
    "20_team": [
        r"^spoke: planner ada bob judge$",
        r"^answer: 1/2$",
        r"^ada -> judge: \d+ tokens$",
        r"^with 2 calls: budget: model_calls, answer so far 0\.5$",
        r"^bob is told to mislead: True$",
    ],
    "22_ur2": [
        r"^masked +<\|begin_of_documents\|> This query asks for reasoning",
        r"^masked +<\|begin_of_documents\|> A year has 13 months of 32 days and a spare day\. <\|end_of_documents\|>$",
        r"^trained +<think>13 \* 32 \+ 1 = 417\.</think> <answer>417</answer>$",
        r"^finished: 2 queries, 1 refused, 1 passage read$",
        r"^7 model calls",
    ],
    "21_spans": [
        r"^invoke_workflow demo\n  plan planner\n    chat scripted\n  invoke_agent executor\n",
        r"^     gen_ai\.evaluation\.result \['exact/1', 'correct'\]$",
        r"(?s)^texts sent: \[\]\nSent\(rollouts=1, spans=13\)$.*^texts sent: \['gen_ai\.input\.messages', 'gen_ai\.output\.messages'\]$",
    ],
    "15_halo_roles": [
        r"^Auditor: Nothing to audit\.  \[N=0 W=0\.0; fail\]$",
        r"^    Auditor: On day 8 .*\[N=0 W=0\.0; simulation 1: success\]$",
        r"^    Auditor: On day 8 .*\[N=1 W=0\.7; success; backup \+0\.7\]$",
        r"^answer: .*boxed\{8\} \| 34 model calls, 3 replies could not be read$",
    ],
}
"""Regular expressions that the output of each example matches, lines anchored."""
NEEDS = {
    "01_solve_one_problem": ("torch", "tirage[local]"),
    "09_full_round": ("trl", "tirage[train]"),
    "21_spans": ("opentelemetry.exporter.otlp.proto.http", "tirage[otel]"),
}


def run(folder: Path, *arguments: str) -> str:
    """Standard output of a Python process in an empty folder; warnings are errors in it."""
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def marked(path: Path) -> object:
    slow = path.stem == "09_full_round"
    return pytest.param(path, id=path.stem, marks=[pytest.mark.slow, pytest.mark.timeout(1200)] if slow else [])


@pytest.mark.parametrize("path", [marked(path) for path in EXAMPLES])
def test_an_example_does_what_it_says(path: Path, tmp_path: Path) -> None:
    if path.stem in NEEDS:
        module, extra = NEEDS[path.stem]
        pytest.importorskip(module, reason=f"pip install '{extra}'")
    output = run(tmp_path, str(path))
    for pattern in PROMISED[path.stem]:
        assert re.search(pattern, output, re.MULTILINE), f"{pattern!r} is not in:\n{output}"
    left = [item.name for item in tmp_path.iterdir()]
    assert left == (["runs"] if "trace:   runs/solve-" in output else []), "an example leaves nothing behind but the run that it names"


def test_every_example_is_listed_short_and_explained() -> None:
    assert [path.stem for path in EXAMPLES] == sorted(PROMISED)
    for path in EXAMPLES:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 80, f"{path.name} has {len(lines)} lines"
        assert lines[0].startswith('"""'), f"{path.name} does not say what it shows"


def test_the_readme_runs(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="pip install 'tirage[local]'")
    blocks = re.findall(r"<!-- tested -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks, "README.md has no python block marked <!-- tested -->"
    for block in blocks:
        output = run(tmp_path, "-c", block)
        for author in ("hint", "policy"):
            assert re.search(rf"^{author} ['\"].*['\"] \(\d+, ", output, re.MULTILINE), output


def test_files_the_documents_name_exist() -> None:
    for document in ("README.md", "CONTRIBUTING.md", "PAPERS.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        named = re.findall(r"`((?:tirage|tests|examples|scripts)/[\w./-]+)`", text) + re.findall(r"\]\((\w[\w./-]+)\)", text)
        missing = [name for name in named if not (ROOT / name).exists()]
        assert missing == [], document


def test_the_configuration_for_a_model_of_ones_own_is_valid() -> None:
    path = ROOT / "examples" / "own_model.yaml"
    config = load_config(ImproveConfig, path)
    assert config.agent.system == "tool-integrated-reasoning"
    assert config.training.lora_rank is not None
    assert isinstance(config.problems.train, FileSource)
    changed = load_config(ImproveConfig, path, ["model=vllm/mine", "problems.train.path=a.jsonl", "problems.heldout.path=b.jsonl"])
    assert (changed.model, changed.problems.train.path) == ("vllm/mine", "a.jsonl")  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="did you mean 'lora_rank'"):
        load_config(ImproveConfig, path, ["training.lora_ranc=8"])
