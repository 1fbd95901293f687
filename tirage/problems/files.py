"""Problem sets in files: JSON lines (also gzipped), Parquet, and folders saved by Hugging Face `datasets`."""

import gzip
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from tirage.core.codec import decode, encode
from tirage.core.errors import ConfigError, DataError, MissingExtra
from tirage.core.extension import refuse_foreign
from tirage.core.problem import Problem
from tirage.problems.base import ProblemSet

Format = Literal["jsonl", "parquet", "dataset"]
_PROMPTS = ("prompt", "question", "problem", "input", "instruction")
_ANSWERS = ("answer", "answers", "final_answer", "gold", "gt", "ground_truth", "target", "label")
_REWARD = "reward_model"
"""verl keeps the reference in `reward_model.ground_truth`."""
_OWN_ID = re.compile(r"[0-9a-f]{16}")
_VERIFIERS = {"math": "math", "science": "math", "choice": "choice", "text": "exact"}
_FIELDS = frozenset(item.name for item in fields(Problem))
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """How a row becomes a problem."""

    prompt: str | None = None
    """Column of the question, a text or a list of messages; None takes the first present of prompt, question, problem, input,
    instruction."""
    answer: str | None = None
    """Column of the reference, or of a list of references of which each is accepted; None takes the first present of answer, answers,
    final_answer, gold, gt, ground_truth, target, label, and `reward_model.ground_truth`."""
    answer_after: str = ""
    """Keep only what follows the last occurrence of this marker in the answer, e.g. `####` for GSM8K; empty keeps all."""
    choices: str | None = None
    """Column with the list of options of a multiple-choice question; they are written below the question as (A), (B), ..."""
    metadata: tuple[str, ...] = ()
    """Columns kept in `Problem.metadata`; `family` and `tier` group reports."""
    kind: str = "math"
    verifier: str | None = None
    """None follows the kind: math and science -> math, choice -> choice, text -> exact; other kinds must name one. A name, or
    module:attribute of a verifier of one's own, also counts for rows that carry all fields themselves."""
    unanswered: bool = False
    """Accept rows without a reference; otherwise one is an error."""


def read_problems(
    path: str | Path,
    *,
    format: Format | None = None,
    columns: Columns | None = None,
    limit: int | None = None,
    split: str = "",
    part: str = "",
) -> ProblemSet:
    """Read a problem set. Repeated problems (same id) are kept once.

    Args:
        path: a file or a folder.
        format: None follows the name: `.jsonl` and `.jsonl.gz`, `.parquet`, a folder is a saved dataset.
        columns: how to read foreign rows. Rows written by `write_problems` carry all fields themselves and ignore it, but for `verifier`.
        limit: read at most this many rows, >= 1; None reads all.
        split: mark for `Problem.split` of foreign rows.
        part: which split of a saved dataset to read; needed when the folder holds several.

    Raises:
        ConfigError: unknown format, or a kind that has no default verifier.
        DataError: the file is missing or empty, a row is malformed, or has no question or no reference; names file and row.
        MissingExtra: a dataset folder without `datasets` installed.
    """
    path = Path(path)
    columns = columns or Columns()
    if limit is not None and limit < 1:
        raise ConfigError(f"limit={limit}; read at least 1 problem, or leave it out to read all")
    if not path.exists():
        raise DataError(f"no problem file at {path}; check the path (the current folder is {os.getcwd()})")
    rows = itertools.islice(_rows(path, format or _format_of(path), part), limit)
    problems = tuple(_problem(row, where, columns, source=path.name, split=split) for where, row in rows)
    if not problems:
        raise DataError(f"{path} holds no problems; it is empty")
    return ProblemSet(path.name, problems).distinct()


def write_problems(problems: Iterable[Problem], path: str | Path) -> int:
    """Write problems as JSON lines that `read_problems` gives back unchanged; returns how many. Replaces the file in one step."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    count = 0
    with beside.open("w", encoding="utf-8") as file:
        for problem in problems:
            file.write(json.dumps(encode(problem), ensure_ascii=False) + "\n")
            count += 1
    beside.replace(path)
    return count


def _format_of(path: Path) -> Format:
    if path.is_dir():
        return "dataset"
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    if name.endswith(".parquet"):
        return "parquet"
    raise ConfigError(f"cannot tell the format of {path}; name it: format=jsonl, parquet or dataset")


def _rows(path: Path, format: str, part: str) -> Iterator[tuple[str, Row]]:
    """Rows with where they stand, for error messages."""
    if format == "jsonl":
        return _json_lines(path)
    if format == "parquet":
        return _parquet(path)
    if format == "dataset":
        return _dataset(path, part)
    raise ConfigError(f"unknown problem format {format!r}; known: jsonl, parquet, dataset")


def _json_lines(path: Path) -> Iterator[tuple[str, Row]]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{where}: not JSON ({error}); correct or delete this line") from error
            if not isinstance(row, dict):
                raise DataError(f"{where}: a JSON object is expected, found {type(row).__name__}; correct or delete this line")
            yield where, row


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a Parquet file ({error}); write it again or name its format") from error
    with file:
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path} row {number}", row


def _dataset(path: Path, part: str) -> Iterator[tuple[str, Row]]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "train") from error
    try:
        loaded = datasets.load_from_disk(str(path))
    except FileNotFoundError as error:
        raise DataError(f"{path} is not a folder written by datasets' save_to_disk; {error}") from error
    if isinstance(loaded, datasets.DatasetDict):
        if len(loaded) == 1 and not part:
            part = next(iter(loaded))
        if part not in loaded:
            raise DataError(f"{path} has the splits {', '.join(loaded)}; name one as part (given: {part!r})")
        loaded = loaded[part]
    for number, row in enumerate(loaded, start=1):
        yield f"{path} row {number}", row


def _problem(row: Row, where: str, columns: Columns, *, source: str, split: str) -> Problem:
    """One row as a problem."""
    if "prompt" in row and row.keys() <= _FIELDS and _OWN_ID.fullmatch(str(row.get("id"))):
        return _own(row, where, columns)
    if isinstance(row.get(_REWARD), Mapping) and "ground_truth" in row[_REWARD]:
        row = {**row, "ground_truth": row[_REWARD]["ground_truth"]}
    prompt = _question(_cell(row, columns.prompt, _PROMPTS, where, "prompt"), where)
    if not isinstance(prompt, str) or not prompt.strip():
        raise DataError(f"{where}: the question is {prompt!r}; a non-empty text is expected")
    answer = _cell(row, columns.answer, _ANSWERS, where, "answer", optional=columns.unanswered)
    options = row.get(columns.choices) if columns.choices else None
    if columns.choices:
        prompt, answer = _with_options(prompt, answer, options, where)
    accepted = _references(answer, columns, where)
    verifier = columns.verifier or _VERIFIERS.get(columns.kind)
    if verifier is None:
        raise ConfigError(f"problems of kind {columns.kind!r} have no default verifier; name one as `verifier`")
    return Problem(
        prompt=prompt,
        answer=accepted[0] if accepted else None,
        kind=columns.kind,
        source=source,
        split=split,
        verifier=verifier,
        metadata={
            **({"row_id": row["id"]} if isinstance(row.get("id"), (str, int)) else {}),
            **({"accepted": list(accepted)} if len(accepted) > 1 else {}),
            **{name: row[name] for name in columns.metadata if name in row},
        },
    )


def _own(row: Row, where: str, columns: Columns) -> Problem:
    """A row that `write_problems` wrote; its id must match its content."""
    try:
        problem = decode(Problem, dict(row))
    except DataError as error:
        raise DataError(f"{where}: {error}; correct the row, or delete its `id` to give it a new identity") from error
    if columns.verifier is not None and columns.verifier != problem.verifier:
        problem = replace(problem, verifier=columns.verifier)
    elif columns.verifier is None:
        # A file may come from anybody: code that it names is run only where the user names it too.
        refuse_foreign(problem.verifier, where, f"give it yourself: --verifier {problem.verifier}, or verifier: beside the file's path")
    if problem.answer is None and not columns.unanswered and problem.verifier != "gym":
        raise DataError(f"{where}: {_NO_ANSWER}")
    return problem


_NO_ANSWER = "the problem has no reference answer; add one, or allow it with `unanswered`"


def _cell(row: Row, name: str | None, candidates: Sequence[str], where: str, what: str, *, optional: bool = False) -> Any:
    if name is None:
        name = next((candidate for candidate in candidates if candidate in row), None)
    if name is not None and name in row:
        return row[name]
    if optional:
        return None
    wanted = f"column {name!r}" if name else f"{what} column (tried {', '.join(candidates)})"
    raise DataError(f"{where}: no {wanted}; the row has {', '.join(map(repr, row)) or 'no columns'}; name its {what}_column")


def _question(prompt: Any, where: str) -> Any:
    """A prompt given as chat messages as text: the system message, then the one user message. Everything else unchanged."""
    if isinstance(prompt, (list, tuple)) and len(prompt) == 1 and isinstance(prompt[0], (list, tuple)):
        prompt = prompt[0]
    if not isinstance(prompt, (list, tuple)) or not prompt or not all(isinstance(message, Mapping) for message in prompt):
        return prompt
    roles = [message.get("role") for message in prompt]
    if roles not in (["user"], ["system", "user"], ["developer", "user"]):
        raise DataError(
            f"{where}: the prompt has messages of the roles {', '.join(map(str, roles))}; one user message is expected, with or without a "
            "system message before it"
        )
    texts = [_content(message.get("content"), where).strip() for message in prompt]
    return "\n\n".join(text for text in texts if text)


def _content(content: Any, where: str) -> str:
    """The text of a message, also when it comes in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, (list, tuple)) and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content):
        return "\n".join(part["text"] for part in content)
    raise DataError(f"{where}: the content of a message is {content!r:.80}; a text, or a list of parts with text, is expected")


def _references(answer: Any, columns: Columns, where: str) -> tuple[str, ...]:
    """Every accepted reference once, the first one first; none only where that is allowed."""
    if not isinstance(answer, (list, tuple)) or not all(isinstance(item, str) for item in answer):
        text = _reference(answer, columns, where)
        return () if text is None else (text,)
    if not answer and not columns.unanswered:
        raise DataError(f"{where}: {_NO_ANSWER}")
    found = [_reference(item, columns, where) for item in answer]
    return tuple(dict.fromkeys(text for text in found if text is not None))


def _reference(answer: Any, columns: Columns, where: str) -> str | None:
    """The reference as text; None only where that is allowed."""
    if isinstance(answer, (bool, int, float)):
        answer = str(answer)
    if answer is not None and not isinstance(answer, str):
        raise DataError(f"{where}: the answer is a {type(answer).__name__}; a text, a number or a list of texts is expected")
    if answer is not None and columns.answer_after:
        if columns.answer_after not in answer:
            raise DataError(f"{where}: the answer has no marker {columns.answer_after!r}; correct the row or leave `answer_after` out")
        answer = answer.rsplit(columns.answer_after, 1)[1]
    answer = answer.strip() if answer is not None else None
    if not answer and not columns.unanswered:
        raise DataError(f"{where}: {_NO_ANSWER}")
    return answer or None


def _with_options(prompt: str, answer: Any, options: Any, where: str) -> tuple[str, Any]:
    """The question with lettered options below it, and an answer given as an index (from 0) turned into its letter."""
    if not isinstance(options, (list, tuple)) or not 2 <= len(options) <= 26:
        raise DataError(f"{where}: the choices are {options!r}; a list of 2 to 26 options is expected")
    letters = [chr(ord("A") + index) for index in range(len(options))]
    if isinstance(answer, int) and not isinstance(answer, bool):
        if not 0 <= answer < len(options):
            raise DataError(f"{where}: the answer is option {answer}, but there are {len(options)} (counted from 0)")
        answer = letters[answer]
    lines = [f"({letter}) {option}" for letter, option in zip(letters, options, strict=True)]
    return "\n".join([prompt.rstrip(), "", *lines]), answer
