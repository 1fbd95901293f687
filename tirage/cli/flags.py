"""Flags that several commands have, each declared once: the same name, the same letter, the same meaning everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from tirage.core.hint import HintPosition

ProblemsArgument = Annotated[
    str, typer.Argument(metavar="PROBLEMS", help="A file (.jsonl, .parquet, a dataset folder), nano:SPLIT or gym:FAMILY[,FAMILY].")
]
ModelName = Annotated[str, typer.Option("--model", "-m", help="Model string; `tirage models` lists the forms.")]
Limits = Annotated[
    list[str] | None,
    typer.Option("--budget", "-b", help="Limits of each problem, e.g. tokens=20000,calls=50,seconds=600,usd=1; repeatable."),
]
RunLimits = Annotated[
    list[str] | None, typer.Option("--run-budget", help="Limits of the whole run, e.g. tokens=1000000,seconds=3600; repeatable.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any other key of the configuration, e.g. --set agent.max_calls=8; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunPath = Annotated[Path | None, typer.Option("--run", help="Run folder; the same folder resumes.")]
Seed = Annotated[int, typer.Option("--seed", help="Every draw derives from it.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Use only the first problems.")]
Samples = Annotated[int, typer.Option("--samples", "-n", min=1, help="Rollouts per problem; several give pass@k and maj@k.")]
BestOf = Annotated[int, typer.Option("--best-of", min=1, help="Chains to sample; the answer is the majority.")]
Concurrency = Annotated[int, typer.Option("--concurrency", min=1, help="What is in flight at once: rollouts, or the steps of one tree.")]
Hints = Annotated[list[HintPosition] | None, typer.Option("--hint", help="Give START hints at this position; repeatable.")]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature", min=0, help="0 is greedy; default: the agent's, else the model's, else 0, or 0.8 where several are drawn."
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", min=1, help="Per turn; default: the agent's, else the model's, else what context and budget leave."),
]
Answer = Annotated[str | None, typer.Option("--answer", help="Reference answer to grade against; no model sees it.")]
VerifierName = Annotated[str | None, typer.Option("--verifier", help="What grades in place of the default: a name, or module:attribute.")]
Tools = Annotated[
    list[str] | None, typer.Option("--tools", help="Tools besides Python: a folder of modules, or module:attribute; repeatable.")
]
Servers = Annotated[Path | None, typer.Option("--mcp", help="mcpServers file: its servers' tools too, by native tool calls.")]
Collections = Annotated[list[Path] | None, typer.Option("--collection", "-c", help="A collection that may be searched; repeatable.")]
Options = Annotated[list[str] | None, typer.Option("--option", "-o", help="An option of the agent or the strategy, e.g. n=3; repeatable.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Members = Annotated[int | None, typer.Option("--members", min=1, help="Of a stock topology.", show_default="the shape's own")]
Rounds = Annotated[int | None, typer.Option("--rounds", min=1, help="Of a stock topology.", show_default="the shape's own")]
