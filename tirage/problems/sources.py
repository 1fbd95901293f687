"""Where a configuration says its problems come from, and the one function that fetches them."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tirage.core.errors import ConfigError, DataError
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.problems import lookup
from tirage.problems.base import ProblemSet, interleave, is_heldout
from tirage.problems.files import Columns, Format, read_problems
from tirage.problems.gym import load_gym
from tirage.problems.splits import Mixture, Split, draw_split, load_mixture, single_tier


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GymSource(_Source):
    """Seeded families of reasoning-gym."""

    type: Literal["gym"] = Field("gym", description="problems drawn from reasoning-gym")
    families: str | dict[str, dict[str, Any]] = Field(
        default="nano", description="`nano` (the embedded model's mixture), the path of a mixture file, or family -> configuration"
    )
    count: int = Field(default=100, ge=1, description="problems in all, evenly over families and tiers")
    seed: int = Field(default=0, ge=0, description="fixes which problems are drawn")
    split: Literal["train", "heldout", "unseen", ""] = Field(
        default="heldout",
        description="which side to draw; empty draws all sides under reasoning-gym's own seed (family -> configuration only)",
    )
    tiers: tuple[str, ...] | None = Field(default=None, description="limit to these tiers; null takes all")


class LookupSource(_Source):
    """Questions about made-up facts, to be found with a search tool; the passages are in `metadata["facts"]`."""

    type: Literal["lookup"] = Field("lookup", description="made-up facts to be searched for")
    count: int = Field(default=100, ge=1, description="problems in all, evenly over the tiers")
    seed: int = Field(default=0, ge=0, description="fixes which problems are drawn")
    split: Literal["train", "heldout"] = Field(default="heldout", description="which side to draw")
    tiers: tuple[Literal["easy", "medium", "hard"], ...] = Field(default=("easy", "medium", "hard"), description="limit to these tiers")


class FileSource(_Source):
    """A problem set on disk."""

    type: Literal["file"] = Field("file", description="problems from a file or folder")
    path: str = Field(description="JSON lines, Parquet, or a folder written by datasets' save_to_disk; relative to the current folder")
    format: Format | None = Field(default=None, description="null follows the file name")
    part: str = Field(default="", description="which split of a saved Hugging Face dataset")
    prompt_column: str | None = Field(default=None, description="null takes prompt, question, problem, input or instruction")
    answer_column: str | None = Field(default=None, description="null takes answer, final_answer, gold, gt, target or label")
    answer_after: str = Field(default="", description="keep what follows this marker in the answer, e.g. ####")
    choices_column: str | None = Field(default=None, description="list of options of a multiple-choice question")
    metadata_columns: tuple[str, ...] = Field(default=(), description="columns kept with the problem; `family` and `tier` group reports")
    kind: str = Field(default="math", description="math, science, choice, text or code; chooses hints and the default verifier")
    verifier: str | None = Field(default=None, description="null follows the kind; a name, or module:attribute of one of your own")
    unanswered: bool = Field(default=False, description="accept problems without a reference")
    limit: int | None = Field(default=None, ge=1, description="read only the first rows")
    split: str = Field(default="", description="mark kept with the problems")


ProblemSource = Annotated[GymSource | LookupSource | FileSource, Field(discriminator="type")]
"""Use as a field type in a configuration model."""


def load_problems(source: GymSource | LookupSource | FileSource, *, base: Path | None = None) -> ProblemSet:
    """Fetch the problems a configuration names. Distinct, never empty, the same every time.

    Args:
        source: where from.
        base: folder that relative paths start from; None is the current one.

    Raises:
        ConfigError, DataError, MissingExtra: as the loader of the source's type says.
    """
    root = base or Path()
    if isinstance(source, FileSource):
        return _load_file(source, root)
    if isinstance(source, LookupSource):
        return load_lookup(source.count, seed=source.seed, split=source.split, tiers=source.tiers)
    if source.split:
        return draw_split(_mixture(source, root), source.split, count=source.count, seed=source.seed, tiers=source.tiers)
    if not isinstance(source.families, dict) or source.tiers is not None:
        raise ConfigError("split '' takes families as family -> configuration and no tiers; for a mixture name train, heldout or unseen")
    each = -(-source.count // len(source.families)) if source.families else 0
    return load_gym(source.families, count=each, seed=source.seed)[: source.count].distinct()


def _mixture(source: GymSource, root: Path) -> Mixture:
    if isinstance(source.families, dict):
        return single_tier(source.families)
    return load_mixture(None if source.families == "nano" else root / source.families)


def _load_file(source: FileSource, root: Path) -> ProblemSet:
    columns = Columns(
        prompt=source.prompt_column,
        answer=source.answer_column,
        answer_after=source.answer_after,
        choices=source.choices_column,
        metadata=source.metadata_columns,
        kind=source.kind,
        verifier=source.verifier,
        unanswered=source.unanswered,
    )
    return read_problems(
        root / source.path, format=source.format, columns=columns, limit=source.limit, split=source.split, part=source.part
    )


def load_lookup(
    count: int, *, seed: int = 0, split: Split = "heldout", tiers: tuple[str, ...] = lookup.TIERS, mixture: Mixture | None = None
) -> ProblemSet:
    """Draw fact-lookup problems, evenly over the tiers, by the same rules of seeds and texts as `draw_split`.

    Raises:
        ConfigError: `count` < 1 or no tiers.
        DataError: fewer distinct problems than asked for.
    """
    if count < 1 or not tiers:
        raise ConfigError(f"count={count} problems over tiers {tiers!r}; ask for at least 1 problem of at least 1 tier")
    seeds = (mixture or load_mixture()).seeds(split)
    pool = seeds[derive_seed("lookup", seed) % len(seeds)]
    groups = []
    for place, tier in enumerate(tiers):
        quota = count // len(tiers) + (place < count % len(tiers))
        found: dict[str, Problem] = {}
        for index in range(400 + 30 * quota):
            if len(found) == quota:
                break
            entry = lookup.generate(pool, index, tier)
            if is_heldout(entry["question"]) == (split == "heldout"):
                problem = _lookup_problem(entry, pool, index, tier, split)
                found.setdefault(problem.id, problem)
        groups.append(list(found.values()))
    problems = interleave(groups)
    if len(problems) < count:
        raise DataError(
            f"the lookup family has only {len(problems)} distinct {split} problems for tiers {', '.join(tiers)}; {count} were asked for"
        )
    return ProblemSet(f"lookup/{split}", problems)


def _lookup_problem(entry: dict[str, Any], pool: int, index: int, tier: str, split: str) -> Problem:
    return Problem(
        prompt=entry["question"],
        answer=entry["answer"],
        kind="math",
        source="tirage/lookup",
        split=split,
        verifier="math",
        metadata={"family": "lookup", "tier": tier, "seed": pool, "index": index, "facts": entry["facts"]},
    )
