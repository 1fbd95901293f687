"""Does the math verifier agree with the authors of GSM8K on real model solutions?

Four models' solutions to each of the 1,319 test problems (openai/grade-school-math, MIT) carry the authors' own `is_correct`. Every
solution goes through extraction and equivalence exactly as in a rollout; every disagreement is printed with a class that explains it.

    python benchmarks/verifier_agreement.py [FILE] [--json]

Exit codes: 0 agreement of at least 99.5 % and the references pass the self-check, 1 below it, 3 the data is not there.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tirage.core.problem import Problem
from tirage.core.verdict import Verdict
from tirage.verification.answer import MathVerifier
from tirage.verification.equality.equivalence import parse_quantity
from tirage.verification.selfcheck import check_problems

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
REQUIRED = 0.995
FILE = "gsm8k-model-solutions.jsonl"
MARKER = "A: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One solution on which we and the authors differ."""

    line: int
    model: str
    reference: str
    answer: str | None
    extraction: str
    ours: bool | None
    theirs: bool
    explanation: str


def explain(verdict: Verdict, reference: str, theirs: bool) -> str:
    """The class of a disagreement; `unexplained` is what needs a look."""
    if verdict.ungraded:
        return f"ungraded: {verdict.detail}"
    if verdict.answer is None:
        return "extraction: no final answer found"
    if verdict.extraction != "phrase":
        return f"extraction: no answer line, taken by {verdict.extraction}"
    given, wanted = parse_quantity(verdict.answer), parse_quantity(reference)
    if given is None or wanted is None:
        return "notation: the answer is no plain number"
    if verdict.correct and given.value == wanted.value:
        return "authors' flag: the same number, flagged wrong"
    if theirs and given.value != wanted.value:
        return "authors' flag: another number, flagged right"
    return "unexplained"


def solutions(path: Path) -> list[tuple[int, str, Problem, dict[str, Any]]]:
    """(line, model, problem, solution with `solution` and `is_correct`) in file order."""
    found = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            row = json.loads(line)
            problem = Problem(prompt=row["question"], answer=row["ground_truth"].rsplit(MARKER, 1)[1].strip())
            found += [(number, model, problem, row[model]) for model in MODELS]
    return found


async def measure(path: Path) -> dict[str, Any]:
    """Grade everything, then grade as fast as the slow path goes."""
    items = solutions(path)
    verifier = MathVerifier()
    try:
        start, cpu = time.perf_counter(), time.process_time()
        verdicts = [await verifier.verify(problem, solution["solution"]) for _, _, problem, solution in items]
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        algebra = await measure_algebra(verifier)
    finally:
        await verifier.close()
    differences = [
        Disagreement(
            line=line,
            model=model,
            reference=problem.answer or "",
            answer=verdict.answer,
            extraction=verdict.extraction,
            ours=verdict.correct,
            theirs=solution["is_correct"],
            explanation=explain(verdict, problem.answer or "", solution["is_correct"]),
        )
        for (line, model, problem, solution), verdict in zip(items, verdicts, strict=True)
        if verdict.correct is not solution["is_correct"]
    ]
    (check,) = await check_problems({problem.id: problem for _, _, problem, _ in items}.values())
    return {
        "solutions": len(items),
        "agreement": 1 - len(differences) / len(items),
        "required": REQUIRED,
        "marked_correct_by_authors": sum(solution["is_correct"] for *_, solution in items),
        "solutions_per_s": len(items) / wall,
        "solutions_per_cpu_s": len(items) / cpu,
        "algebra_per_s": algebra,
        "references": check.problems,
        "references_passed": check.passed,
        "damaged_references_caught": check.caught,
        "disagreements": [asdict(difference) for difference in differences],
    }


async def measure_algebra(verifier: MathVerifier, count: int = 200) -> float:
    """Answers per second that need math-verify, all workers busy, each pair new."""
    await verifier.equal("x+1", "1+x")
    start = time.perf_counter()
    await asyncio.gather(*(verifier.equal(f"{n}x + {n + 1}", f"{n + 1} + {n} x") for n in range(count)))
    return count / (time.perf_counter() - start)


def report(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        f"agreement with the authors   {result['agreement']:.2%} of {result['solutions']:,} solutions (required {REQUIRED:.1%})",
        f"references                   {result['references_passed']} of {result['references']} pass, "
        f"{result['damaged_references_caught']} damaged ones caught",
        f"speed, plain numbers         {result['solutions_per_s']:,.0f} solutions/s ({result['solutions_per_cpu_s']:,.0f} per CPU second)",
        f"speed, through math-verify   {result['algebra_per_s']:,.0f} answers/s",
        f"disagreements                {len(result['disagreements'])}",
    ]
    lines += [
        f"  line {item['line']} {item['model']}: reference {item['reference']!r}, answer {item['answer']!r} ({item['extraction']}), "
        f"ours {item['ours']}, theirs {item['theirs']}: {item['explanation']}"
        for item in result["disagreements"]
    ]
    return "\n".join(lines)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="agreement of the math verifier with GSM8K's authors")
    folder = Path(os.environ.get("TIRAGE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("file", type=Path, nargs="?", default=folder / FILE, help=f"{FILE} (default: the one in TIRAGE_DATA)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if not options.file.is_file():
        print(f"there is no file {options.file}; give it, or set TIRAGE_DATA to its folder", file=sys.stderr)
        return 3
    result = asyncio.run(measure(options.file))
    print(json.dumps(result, indent=2) if options.json else report(result))
    sound = result["references_passed"] == result["damaged_references_caught"] == result["references"]
    return 0 if result["agreement"] >= REQUIRED and sound else 1


if __name__ == "__main__":
    raise SystemExit(main())
