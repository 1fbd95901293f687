"""The gym verifier: reasoning-gym's own scorers, run outside this process."""

from typing import Any

from tirage.core.problem import Problem
from tirage.core.verdict import Verdict
from tirage.verification.answer import judge
from tirage.verification.equality.equivalence import normalise, quick_equal
from tirage.verification.extract import TEXT_POLICY, Method, extract
from tirage.verification.grading.workers import WorkerPool

_KEYS = ("family", "seed", "size", "index", "config")


class GymVerifier:
    """Regenerates the problem's entry in a worker and lets its family score the answer. Full score only is correct."""

    name = "gym/1"

    def __init__(self, *, policy: tuple[Method, ...] = TEXT_POLICY, workers: WorkerPool | None = None) -> None:
        """`workers` is closed with the verifier."""
        self._policy = policy
        self._workers = workers or WorkerPool("gym", timeout_s=10.0)

    async def verify(self, problem: Problem, response: str) -> Verdict:
        """Judge the final answer of `response`; see `Verifier.verify`. A partial score is kept in `Verdict.score`."""
        found = extract(response, self._policy)
        missing = [key for key in _KEYS if key not in problem.metadata]
        if missing:
            return judge(self.name, found, None, f"problem {problem.id} has no metadata {', '.join(missing)}; load it with load_gym")
        if found.answer is None:
            return judge(self.name, found, False, "no final answer found")
        request: dict[str, Any] = {key: problem.metadata[key] for key in _KEYS}
        reply = await self._workers.ask({**request, "question": problem.prompt, "answer": found.answer})
        if reply.failure:
            return judge(self.name, found, None, reply.failure)
        score, note = float(reply.value["score"]), str(reply.value["note"])
        if not 0.0 <= score <= 1.0:
            return judge(self.name, found, None, f"the scorer gave {score}, which is not in [0, 1]")
        return Verdict(correct=score == 1.0, score=score, verifier=self.name, answer=found.answer, extraction=found.how, detail=note)

    async def equal(self, answer: str, gold: str) -> bool:
        """The same text or number; the family's scorer compares with its own entry only. See `Equivalence.equal`."""
        return bool(quick_equal(answer, gold)) or normalise(answer).casefold() == normalise(gold).casefold()

    async def close(self) -> None:
        """End the workers."""
        await self._workers.close()
