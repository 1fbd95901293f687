"""Improvement on a real pre-trained chat model: what the loop gains on a model that nobody here trained.

    python benchmarks/real_round.py [-m MODEL] [--run FOLDER] [--set KEY=VALUE ...] [--json]

The rounds of examples/smollm2/round.yaml, on the ordinary machinery of `tirage improve`: interrupt it whenever you like, the same
command goes on. Without -m the model is SmolLM2-135M-Instruct in the folder that scripts/smollm2.sh makes, behind vLLM. Budgets:
before <= 10 %, after >= 80 %, control <= before + 10 points, paired p < 0.001, 90 minutes.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tirage.cli.display import LiveDisplay
from tirage.evaluation import Report, print_report
from tirage.runtime.config import ImproveConfig
from tirage.runtime.config_files import load_config
from tirage.runtime.event_loop import run_sync
from tirage.runtime.improve import improve_round
from tirage.traces.jsonl import TraceStore

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "examples" / "smollm2" / "round.yaml"
BEFORE, AFTER, CONTROL, P, MINUTES = 0.10, 0.80, 0.10, 0.001, 90.0


def smollm2() -> str:
    """The model string of the folder that scripts/smollm2.sh makes. Exits with 3 where it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(os.environ.get("TIRAGE_SMOLLM2") or cache / "tirage" / "smollm2")
    if not (folder / "config.json").is_file():
        print(f"there is no SmolLM2 in {folder}; make it with scripts/smollm2.sh, or name a model with -m", file=sys.stderr)
        sys.exit(3)
    return f"vllm/{folder}"


def figures(report: Report, folder: Path) -> dict[str, object]:
    """What the budgets are about."""
    (part, *_) = report.parts
    shares = {name: summary.accuracy for name, summary in part.conditions.items()}
    change = next(pair for pair in part.comparisons if (pair.first, pair.second) == ("before", "after"))
    minutes = sum(report.timing.stages.values()) / 60
    with TraceStore(folder) as store:
        tokens = sum(rollout.tree.usage.tokens_out for rollout in store.read())
    sampling = sum(seconds for name, seconds in report.timing.stages.items() if not name.startswith("train ")) or 1.0
    return {
        "accuracy": shares,
        "tool_rate": {name: summary.tool_rate for name, summary in part.conditions.items()},
        "held_out": change.pairs,
        "p_value": change.p_value,
        "minutes": minutes,
        "sampled_tokens": tokens,
        "sampled_tokens_per_s": tokens / sampling,
    }


def missed(found: dict[str, object]) -> list[str]:
    """The budgets that are not kept, in words."""
    shares: dict[str, float] = found["accuracy"]  # type: ignore[assignment]
    before, after, control = shares["before"] or 0.0, shares["after"] or 0.0, shares.get("control")
    checks = [
        (before <= BEFORE, f"before {before:.1%} > {BEFORE:.0%}"),
        (after >= AFTER, f"after {after:.1%} < {AFTER:.0%}"),
        (control is None or control <= before + CONTROL, f"control {control or 0:.1%} > before + {CONTROL:.0%}"),
        (float(str(found["p_value"])) < P, f"p {found['p_value']} >= {P}"),
        (float(str(found["minutes"])) <= MINUTES, f"{found['minutes']:.0f} minutes > {MINUTES:.0f}"),
    ]
    return [words for kept, words in checks if not kept]


def show(console: Console, found: dict[str, object]) -> None:
    """A line per measurement, then the effort."""
    table = Table("measured", "right", "ran code", title=f"{found['held_out']} held-out problems, greedy")
    rates: dict[str, float | None] = found["tool_rate"]  # type: ignore[assignment]
    for name, share in found["accuracy"].items():  # type: ignore[attr-defined]
        table.add_row(name, *(("-" if value is None else f"{value:.1%}") for value in (share, rates[name])))
    console.print(table)
    console.print(
        f"{found['minutes']:.1f} minutes, {found['sampled_tokens']} sampled tokens, {found['sampled_tokens_per_s']:.0f} tokens/s while "
        f"sampling, before -> after p = {found['p_value']:.2g}"
    )


def main() -> int:
    """Run or resume the rounds; 0 when the budgets are kept, 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("-m", "--model", help="model string; SmolLM2 behind vLLM by default")
    parser.add_argument("--run", type=Path, help="run folder; runs/smollm2 by default")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="override a key of the configuration; repeatable")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    os.chdir(ROOT)
    config = load_config(ImproveConfig, CONFIG, [f"model={given.model or smollm2()}", *given.settings])
    folder = given.run or Path("runs") / config.name
    with LiveDisplay(quiet=given.json) as display:
        report = run_sync(improve_round(config, folder, display))
    found = figures(report, folder)
    if given.json:
        print(json.dumps(found, indent=1))
    else:
        console = Console(highlight=False)
        print_report(report, console=console)
        show(console, found)
        console.print(f"report: {folder / 'report.html'}")
    lacking = missed(found)
    for words in lacking:
        print(f"MISSED: {words}", file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
