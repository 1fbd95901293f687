"""Several policies as moves of one search: each step is proposed by the one that the search names."""

from collections.abc import Mapping

from tirage.agents.continuation import ContinuationMode, Path
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.policy import Draft, WrappedPolicy
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.search.hint_moves import PREFIX


class Arms(WrappedPolicy[ModelPolicy]):
    """The policy port over several policies by move; the one without a name is the first, and every move that is no arm is its own."""

    def __init__(self, first: ModelPolicy, others: Mapping[str, ModelPolicy]) -> None:
        """Raises `ConfigError` when one continues by token ids and another has other ids: they would not read the same path."""
        super().__init__(first)
        self._others = dict(others)
        tokenizers = {policy.model.renderer.hash for policy in (first, *others.values()) if policy.model.renderer is not None}
        by_ids = any(policy.mode is ContinuationMode.TOKENS for policy in (first, *others.values()))
        if by_ids and (len(tokenizers) > 1 or any(policy.mode is not first.mode for policy in others.values())):
            names = ", ".join(policy.model.name for policy in (first, *others.values()))
            raise ConfigError(f"{names} have different tokenizers and cannot continue each other's tokens; put them behind chat endpoints")

    @property
    def id(self) -> str:
        """Of all arms."""
        return "+".join([self.inner.id, *(policy.id for policy in self._others.values())])

    @property
    def waiting(self) -> tuple[str, ...]:
        """Of all arms."""
        return tuple(dict.fromkeys(text for policy in (self.inner, *self._others.values()) for text in policy.waiting))

    @property
    def most_tokens(self) -> int:
        """Of the arm that may sample most."""
        return max(policy.most_tokens for policy in (self.inner, *self._others.values()))

    async def propose(
        self, problem: Problem, path: Path, *, seed: int, hint_seed: int, most_tokens: int | None, move: str = "", ephemeral: str = ""
    ) -> Draft:
        """By the arm that the move names."""
        policy = self._others.get(move)
        if policy is None and move and not move.startswith(PREFIX):
            raise ConfigError(f"there is no arm {move!r}; arms: {', '.join(self._others) or 'none'}, and the first without a name")
        own = move if policy is None else ""
        return await (policy or self.inner).propose(
            problem, path, seed=seed, hint_seed=hint_seed, most_tokens=most_tokens, move=own, ephemeral=ephemeral
        )
