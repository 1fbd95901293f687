"""Numbers with honest intervals: accuracy, pass@k, maj@k, and whether a difference between two models is real."""

import random

from tirage.evaluation import Outcome, accuracy, compare_paired, maj_at_k, pass_at_k, per_problem, wilson
from tirage.evaluation.intervals import clustered_bootstrap
from tirage.evaluation.metrics import correctness


def outcomes(skill: float, *, problems: int = 60, samples: int = 8) -> list[Outcome]:
    """Made-up results of a model; stored traces give the same objects by `read_outcomes(store.read())`."""
    made = []
    for number in range(problems):
        draw = random.Random(number)  # the same difficulty for every model
        chance = min(1.0, max(0.0, draw.gauss(skill, 0.3)))
        for sample in range(samples):
            right = draw.random() < chance
            answer = "42" if right else str(draw.randint(1, 5))
            made.append(Outcome(problem_id=f"p{number}", sample=sample, correct=right, answer=answer, tokens_out=draw.randint(50, 400)))
    return made


before, after = outcomes(0.40), outcomes(0.52)

for name, results in (("before", before), ("after", after)):
    found = accuracy(results)
    interval = clustered_bootstrap(correctness(results))
    print(f"{name:<6} accuracy {found.value:.3f} [{interval.low:.3f}, {interval.high:.3f}] over {found.problems} problems", end="; ")
    print(", ".join(f"{at.name} {at.value:.3f}" for at in (pass_at_k(results, 1), pass_at_k(results, 8), maj_at_k(results, 5))))
    print(f"       {per_problem(results, 'tokens_out'):.0f} tokens per problem")

# Both models saw the same problems, so their difficulty cancels: compare problem by problem.
paired = compare_paired(before, after, names=("before", "after"))
assert paired.difference is not None
assert paired.interval is not None
low, high = paired.interval.low, paired.interval.high
print(f"difference {paired.difference:+.3f} [{low:+.3f}, {high:+.3f}], p = {paired.p_value:.2g} ({paired.test})")
print(f"better on {paired.wins} problems, worse on {paired.losses}, equal on {paired.ties}")

# What could not be graded is neither right nor wrong, and few samples say little.
mixed = [Outcome(problem_id=str(n), correct=verdict) for n, verdict in enumerate([True, True, True, False, None])]
share = accuracy(mixed)
bounds = wilson(share.correct, share.samples)
print(f"{share.correct} of {share.samples} right, {share.ungraded} ungraded: {share.value:.2f} [{bounds.low:.2f}, {bounds.high:.2f}]")
