"""Transcripts of the published systems on real models, for their pages.

    TIRAGE_SMOLLM2=FOLDER python -m scripts.pages.transcripts [NAME...]

Each is what `tirage trace show` prints of one problem, long texts cut. SmolLM2-135M-Instruct is far smaller than what the papers used: its
transcripts show who is asked what, not how well a system does.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "made" / "transcripts"
SMOLLM2 = "hf/HuggingFaceTB/SmolLM2-135M-Instruct"
QUESTION = "What is 17 * 23 - 4?"
WIDTH, LINES, IN_ALL = 118, 7, 90
"""Characters of a line, lines of one text, and lines of a transcript."""
RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "start": ("nano", ("--agent", "start", "-o", "rounds=1")),
    "tir": ("nano", ("--agent", "tir", "-o", "n=2")),
    "t1": ("nano", ("--agent", "t1", "-o", "n=2")),
    "critic-filter": ("nano", ("--agent", "critic-filter", "-o", "n=2")),
    "critic-refinement": ("nano", ("--agent", "critic-refinement", "-o", "rounds=1")),
    "dfsdt": (SMOLLM2, ("--agent", "dfsdt", "-o", "max_query=6")),
    "lats": (SMOLLM2, ("--agent", "lats", "-o", "n=2", "-o", "iterations=2", "-o", "depth=2")),
    "rstar": (SMOLLM2, ("--agent", "rstar", "-o", "rollouts=1", "-o", "samples=2", "-o", "last=2", "-o", "depth=2")),
    "cpl": (SMOLLM2, ("--agent", "cpl", "-o", "root=2", "-o", "n=2", "-o", "depth=3", "-o", "iterations=4")),
    "octotools": (SMOLLM2, ("--agent", "octotools", "-o", "max_steps=1")),
    "socratic": (SMOLLM2, ("--agent", "socratic", "-o", "max_turn=2", "-o", "max_depth=2", "-o", "questions=2")),
    "ur2": (SMOLLM2, ("--agent", "ur2", "-o", "search=false")),
    "halo": (SMOLLM2, ("--agent", "halo", "-o", "roles=2", "-o", "subtasks=1", "-o", "iterations=1", "-o", "attempts=1")),
    "team": (SMOLLM2, ("--agent", "team")),
}
"""By page: the model, and how the system is run."""
EXAMPLES = {"art": "examples/14_art_programs.py"}
"""Pages whose demonstrations are too long for SmolLM2 on a CPU: an example, whose replies are written by hand."""


def transcript(name: str) -> str:
    """The command and what it left, as `tirage trace show` prints it; or an example and what it prints."""
    if name in EXAMPLES:
        done = subprocess.run([sys.executable, EXAMPLES[name]], capture_output=True, text=True, cwd=ROOT, check=True)
        return f"$ python {EXAMPLES[name]}\n\n{cut(done.stdout)}"
    model, words = RUNS[name]
    folder = os.environ.get("TIRAGE_SMOLLM2", "")
    if model == SMOLLM2 and not folder:
        raise SystemExit("set TIRAGE_SMOLLM2 to the folder that scripts/smollm2.sh makes")
    limits = ("--max-tokens", "96", "--temperature", "0.7") if model == SMOLLM2 else ()
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        asked = ["-m", f"hf/{folder}" if model == SMOLLM2 else model, *words, *limits]
        tirage("solve", QUESTION, *asked, "--answer", "387", "--run", str(run))
        shown = tirage("trace", "show", str(run))
    command = " ".join(["tirage solve", f'"{QUESTION}"', "--answer 387", "-m", model, *words, *limits])
    return f"$ {command}\n\n{cut(shown.replace(f'hf/{folder}', model))}"


def tirage(*words: str) -> str:
    """What a command prints."""
    done = subprocess.run([sys.executable, "-m", "tirage", *words], capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"tirage {' '.join(words)}: {done.stderr[-1000:]}")
    return done.stdout


def cut(text: str) -> str:
    """Long lines, long texts and long transcripts, shortened where dots stand."""
    kept: list[str] = []
    within = 0
    for line in text.splitlines():
        within = within + 1 if "│" in line[:12] and not line[:9].strip() else 0
        if within < LINES:
            kept.append(line if len(line) <= WIDTH else line[: WIDTH - 1] + "…")
        elif within == LINES:
            kept.append("         │ …")
    if len(kept) > IN_ALL:
        kept = [*kept[: IN_ALL - 12], f"… {len(kept) - IN_ALL + 2} further lines …", *kept[-10:]]
    return "\n".join(kept) + "\n"


def main() -> int:
    """Write the transcripts of the named pages, or of all."""
    parser = argparse.ArgumentParser(description="Write transcripts of the published systems.")
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(RUNS | EXAMPLES)}")
    OUT.mkdir(parents=True, exist_ok=True)
    for name in parser.parse_args().names or [*RUNS, *EXAMPLES]:
        (OUT / f"{name}.txt").write_text(transcript(name), encoding="utf-8")
        print(f"wrote {OUT / name}.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
