"""What a run is told: one strict schema for YAML files, `--set key=value` and Python.

Unknown keys are errors. Every value has one home; defaults are derived where they can be.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tirage.core.hint import HintPosition
from tirage.models.keys import credentials_in, texts_in
from tirage.problems import FileSource, ProblemSource
from tirage.sandbox.opening import OWN as own_sandboxes
from tirage.tools.retrieval.base import RetrievalMode
from tirage.training.recipes import HintRFTConfig
from tirage.training.spec import SFTSettings

SANDBOXES = ("fork", "docker", "jupyter")


class Strict(BaseModel):
    """Base of all configuration: frozen. Unknown keys are refused, and so are URLs with credentials: a run keeps its configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*")
    @classmethod
    def _without_credentials(cls, value: Any) -> Any:
        if any(credentials_in(text) for text in texts_in(value)):
            raise ValueError("a URL with a user, password or key in it would be kept with the run; put the key into model_options.api_keys")
        return value


class SamplingConfig(Strict):
    """How to sample one policy turn. What is null is the published system's, else the model's (`tirage models` shows it), else tirage's."""

    temperature: float | None = Field(
        None, ge=0, description="0 is greedy; where nobody says anything, 0 for a single draw and 0.8 for several"
    )
    top_p: float | None = Field(None, gt=0, le=1, description="sample from the smallest set of tokens that holds this much probability")
    top_k: int | None = Field(None, ge=0, description="sample from so many tokens at most; 0 switches it off")
    max_tokens: int | None = Field(
        None, ge=1, description="per policy turn; where nobody says anything, what the context and the budget leave"
    )


class HintsConfig(Strict):
    """Hints in the manner of START."""

    library: Path | None = Field(None, description="YAML file; the shipped START library when absent")
    positions: tuple[HintPosition, ...] = Field(
        (HintPosition.START, HintPosition.END_OF_THINKING, HintPosition.BEFORE_STOP),
        description="where a hint may go; one is drawn per hint",
    )
    rounds: int = Field(1, ge=1, description="hints per trajectory")


class BudgetConfig(Strict):
    """Limits of one tree; null means none. Hitting one ends the tree with the best answer so far."""

    tokens: int | None = Field(None, ge=0, description="sampled tokens, those of critics included")
    tokens_in: int | None = Field(None, ge=0, description="prompt tokens sent")
    calls: int | None = Field(None, ge=0, description="model calls")
    tool_calls: int | None = Field(None, ge=0, description="tool calls")
    sandbox_s: float | None = Field(None, ge=0, description="seconds in tools")
    seconds: float | None = Field(None, ge=0, description="wall time; makes a run depend on the machine's speed")
    usd: float | None = Field(None, ge=0, description="money in US dollars, where the back end tells prices")
    nodes: int | None = Field(None, ge=0, description="steps of the tree")
    depth: int | None = Field(None, ge=0, description="steps of one path")


class RewardConfig(Strict):
    """A reward model in this process."""

    prm: str | None = Field(
        None,
        description="folder or hub name of the reward model: a token classifier with two labels (TRL), Qwen2.5-Math-PRM's layout, or a "
        "sequence classifier (an outcome reward)",
    )
    prm_separator: str | None = Field(None, description="what closes a step, as the model was trained; null: the layout's own")
    prm_score: Literal["last", "min", "product"] = Field("last", description="a path's score from its steps'")


class SearchConfig(RewardConfig):
    """How a tree is grown."""

    strategy: str = Field("mcts", description="`tirage search --list` names them; or module:attribute of a strategy of your own")
    options: dict[str, Any] = Field({}, description="of the strategy, such as width or c; `tirage search --list` names them")
    valuer: Literal["auto", "none", "confidence", "execution", "critic", "prm", "oracle"] = Field(
        "auto",
        description="what values a path: critic (an agent checks the answer with code), confidence (its tokens' probability), "
        "execution (did its code run), prm (a process reward model), oracle (the verifier: it sees the reference answer, so for training "
        "data only); auto is prm where there is one, else critic for searches by value",
    )
    cheap: Literal["none", "confidence", "execution"] = Field(
        "none", description="a free estimate that is asked first; the valuer is asked only where it reaches `gate`"
    )
    gate: float = Field(0.5, description="what the cheap estimate must reach")
    checks: int = Field(1, ge=1, description="checks per answer by the critic")
    stop: tuple[Literal["solved", "converged", "saturated"], ...] = Field(
        (), description="end early when an answer is valued at 1, when an answer leads by 3 votes, when 32 nodes bring no better value"
    )
    models: tuple[str, ...] = Field(
        (), description="further models as arms beside the run's own, for strategies that choose among moves (ab-mcts)"
    )
    hint_moves: Literal["none", "siblings", "rounds"] = Field(
        "none",
        description="START's hints as moves: siblings continue their parent with different hints (the first without), or a path takes one "
        "hint after another",
    )
    separator: str | None = Field(
        None,
        description="text that ends a step, such as a newline or an empty line, to search over thoughts; null: up to a call or the end",
    )
    max_steps: int = Field(16, ge=1, description="steps of a path")
    merge: bool = Field(False, description="take a step that repeats a sibling's calls and results, or answer, for the sibling's state")
    budget: BudgetConfig = Field(BudgetConfig(), description="limits of one tree")
    concurrency: int = Field(16, ge=1, description="steps of one tree in flight at once")


class McpConfig(Strict):
    """Tools of Model Context Protocol servers, which run for as long as the run does."""

    servers: Path = Field(description='JSON file {"mcpServers": {NAME: {"command", "args", "env", "cwd"} or {"url", "headers"}}}')
    prefix: bool = Field(False, description="put the server's name in front of its tools' names")
    timeout_s: float = Field(30.0, gt=0, description="per call")


class SearchToolConfig(Strict):
    """A tool that looks things up in a collection, which `tirage index add` makes."""

    index: Path = Field(description="the collection's file, or its folder, which ends in .lance")
    name: str = Field("search", pattern="^[A-Za-z][A-Za-z0-9_]*$", description="what the model calls it by")
    about: str | None = Field(None, description="what is in the collection, as the model is told; null says nothing of it")
    k: int = Field(3, ge=1, le=20, description="passages per query, unless the model asks for another number")
    mode: RetrievalMode = Field("hybrid", description="keywords and vectors fused by score, fused by ranks, or one of them alone")
    embedder: str | None = Field(
        None, description="`tirage index add --help` lists them; null is the one that the collection was made with"
    )
    rerank: str | None = Field(None, description="re-rank the best chunks: lexical, or the folder of a cross-encoder")
    summarise: str | None = Field(
        None,
        description="the model that tells passages as the few facts that help: own, or one of agent.models; null shows them as they are",
    )
    rewrite: bool = Field(False, description="that model first rewrites queries, long and rich in information")
    strict: bool = Field(
        False, description="that model refuses queries that ask for reasoning; and one that is no short question is invalid"
    )
    clip_chars: int = Field(4000, ge=100, description="characters of an observation at most")

    @model_validator(mode="after")
    def _summariser(self) -> Self:
        if self.summarise is None and (self.rewrite or self.strict):
            raise PydanticCustomError("summariser", "rewrite and strict need a model; set summarise, e.g. to own")
        return self


DialectWord = Literal["fenced-python", "native", "tags", "plain"]
DialectName = Annotated[DialectWord, BeforeValidator(lambda told: "native" if told == "native-tools" else told)]
OwnTool = Literal["python", "shell"]
AnyTool = Annotated[
    Annotated[OwnTool, Tag("tool")] | Annotated[SearchToolConfig, Tag("search")],
    Discriminator(lambda given: "tool" if isinstance(given, str) else "search"),
]


class AgentConfig(RewardConfig):
    """How an agent drives a problem; its reward model serves its search, its chains (`best_of`) or its published system."""

    dialect: DialectName | None = Field(
        None,
        description="how the model calls tools, by default as its profile says: Python in a fenced block of its text, as its chat "
        "template or API has it (native), between tags of its text, or not at all (plain)",
    )
    tags: str = Field("retool", description="of the dialect tags: retool, search-r1, ur2, hermes, short, or a YAML file")
    tools: tuple[AnyTool, ...] = Field(
        ("python",),
        min_length=1,
        description="what the model may use: python, shell (in the native dialect), or {index: FILE} to search a collection, which "
        "the fenced dialect calls from its code, within sandbox.timeout_s",
    )
    tools_from: tuple[str, ...] = Field(
        (),
        description="folders of modules, or module:attribute: functions as tools; the fenced dialect calls them from its code, within "
        "sandbox.timeout_s",
    )
    mcp: McpConfig | None = Field(None, description="further tools, of servers; the native dialect, octotools and art can call them")
    system: str | None = Field(
        "auto",
        description="system message: `auto` (the shipped one of the dialect, unless the model's profile says otherwise), the name of a "
        "shipped one (tool-integrated-reasoning, tool-calling), any other text as it stands, or null for none",
    )
    demonstrations: str | None = Field(
        None,
        description="worked problems that are shown before the problem: the name of a shipped set (tool-integrated-reasoning) or a YAML "
        "file; they are never trained, and a round shows them only while it samples with hints",
    )
    demonstrations_in: Literal["system", "turns"] = Field(
        "system", description="where they stand: in the system message, or as earlier turns of the conversation"
    )
    demonstrations_nearest: int | None = Field(
        None, ge=1, description="show only so many, those whose problems are most like the one at hand (by their words); null shows all"
    )
    elicit: bool = Field(
        False,
        description="begin the words that state an answer where a path ended without a readable one; never trained, and a round does so "
        "only while it samples with hints",
    )
    max_calls: int = Field(4, ge=0, description="tool calls per trajectory")
    max_failures: int = Field(3, ge=1, description="failing calls in a row before code is given up")
    best_of: int = Field(1, ge=1, description="chains per problem; the answer is the majority")
    search: SearchConfig | None = Field(None, description="grow a tree per problem instead of `best_of` chains")
    name: str | None = Field(
        None, description="a published system instead: `tirage solve --agent list` names them; or module:attribute of a `SystemSpec`"
    )
    options: dict[str, Any] = Field({}, description="of the published system")
    models: tuple[str, ...] = Field((), description="further models of the published system, such as rstar's second one")
    budget: BudgetConfig = Field(BudgetConfig(), description="limits of one problem's tree, where it is not searched (see search.budget)")

    @field_validator("tools")
    @classmethod
    def _names(cls, tools: tuple[AnyTool, ...]) -> tuple[AnyTool, ...]:
        names = [item if isinstance(item, str) else item.name for item in tools]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise PydanticCustomError("twice", "two tools are named {twice}; give one of them another name", {"twice": repr(twice)})
        return tools

    @property
    def searches(self) -> tuple[SearchToolConfig, ...]:
        """The tools that search collections."""
        return tuple(item for item in self.tools if not isinstance(item, str))


class SandboxOptions(Strict):
    """The interpreter that runs the policy's code."""

    backend: str = Field(
        "fork", description="fork: the forking box; docker: a container per problem; jupyter: kernels; or module:attribute of your own"
    )
    options: dict[str, Any] = Field({}, description="of a sandbox of your own: arguments of what makes it")
    image: str | None = Field(None, description="docker: the image, with Python >= 3.11")
    runtime: str | None = Field(None, description="docker: the engine's runtime, runsc for gVisor")
    warm: int = Field(2, ge=0, description="sessions kept ready ahead of the problems that will need them")
    kernel: str = Field("python3", description="jupyter: name of an installed kernel")
    readable: tuple[str, ...] = Field((), description="fork: further paths of the host that code may read")
    network: tuple[str, ...] = Field((), description="fork: host, host:port or *.domain that code may reach; none by default")
    min_rung: int = Field(2, ge=1, le=2, description="weakest isolation accepted: 1 demands namespaces, 2 accepts Landlock alone")
    timeout_s: float = Field(5.0, gt=0, description="per cell")
    memory_mb: int = Field(1024, ge=64, description="per interpreter process")
    unsafe: bool = Field(False, description="allow running without isolation where the host gives none")

    @field_validator("backend")
    @classmethod
    def _known(cls, backend: str) -> str:
        if backend not in SANDBOXES and not own_sandboxes.has(backend):
            known = ", ".join([*SANDBOXES, *own_sandboxes.offers])
            said = "there is no sandbox {name}; known: {known}, or module:attribute"
            raise PydanticCustomError("backend", said, {"name": repr(backend), "known": known})
        return backend


class ModelConfig(Strict):
    """Options of model back ends; each is used by the back ends that know it."""

    tokenizer: str | None = Field(None, description="tokenizer folder for servers that do not tell theirs")
    chat_template: str | None = Field(
        None, description="in place of the model's own chat template, or where it has none: a file with Jinja text, or the text itself"
    )
    template: dict[str, Any] = Field(
        {},
        description="switches of the chat template, such as enable_thinking or reasoning_effort; date_string is the date that it tells "
        "(2024-07-26 where nothing is said: the clock is not read)",
    )
    profile: dict[str, Any] = Field({}, description="what is known better about the model than its files tell; `tirage models` shows it")
    api_key_env: str | None = Field(None, description="environment variable with the key of the run's own model, for its server alone")
    api_keys: dict[str, str] = Field(
        {},
        description="environment variables that hold keys, by the server that each is for, e.g. {https://api.mistral.ai: MISTRAL_API_KEY}; "
        "OPENAI_API_KEY is OpenAI's, or that of OPENAI_BASE_URL, without being named",
    )
    vllm_python: Path | None = Field(None, description="python of vLLM's own environment; .venv-vllm is found by itself")
    vllm_args: tuple[str, ...] = Field((), description="further arguments of the vLLM server")
    threads: int | None = Field(None, ge=1, description="CPU threads of the in-process engine")
    slots: int = Field(32, ge=1, description="sequences decoded together by the in-process engine")
    max_attempts: int = Field(4, ge=1, description="attempts per call while the server is unavailable")
    concurrency: int = Field(64, ge=1, description="rollouts in flight")
    requests_per_minute: float | None = Field(None, gt=0, description="calls that a served model gets at most")
    tokens_per_minute: float | None = Field(None, gt=0, description="prompt and sampled tokens that a served model gets at most")
    cache: Path | None = Field(
        None, description="SQLite file that keeps answers to greedy and seeded requests, by model name, prompt and sampling"
    )


class SplitsConfig(Strict):
    """The problems of a run."""

    train: ProblemSource = Field(description="problems to sample and train on")
    heldout: ProblemSource = Field(description="problems to measure on, kept out of training")
    unseen: ProblemSource | None = Field(None, description="families never trained on, reported apart")
    overlap: Literal["auto", "exact", "ngram", "lcs"] = Field(
        "auto",
        description="when a training prompt counts as held out: equal text, a shared run of 13 tokens, or a long common subsequence; "
        "auto is exact for templated gym families, else ngram",
    )

    @property
    def overlap_mode(self) -> Literal["exact", "ngram", "lcs"]:
        """The rule, with `auto` resolved."""
        if self.overlap != "auto":
            return self.overlap
        return "ngram" if isinstance(self.heldout, FileSource) else "exact"


class RunConfig(Strict):
    """What every run of rollouts is told."""

    model: str = Field("nano", description="model string; `tirage models` lists the forms")
    model_options: ModelConfig = Field(ModelConfig(), description="how the model is opened and called")
    seed: int = Field(0, description="every draw derives from it and from what is drawn")
    agent: AgentConfig = Field(AgentConfig(), description="how a problem is driven")
    sampling: SamplingConfig = Field(SamplingConfig(), description="how a policy turn is sampled")
    sandbox: SandboxOptions = Field(SandboxOptions(), description="where the policy's code runs")


class RolloutConfig(RunConfig):
    """Rollouts of one problem set."""

    problems: ProblemSource = Field(description="what to roll out")
    samples: int = Field(1, ge=1, description="rollouts per problem")
    hints: HintsConfig | None = Field(None, description="null gives no hints")


class SolveConfig(RunConfig):
    """One problem at a time."""

    hints: HintsConfig | None = Field(None, description="null gives no hints")
    budget: BudgetConfig = Field(BudgetConfig(), description="limits of all that is done for one problem")
    verifier: str | None = Field(None, description="what grades the answer: a name, or module:attribute; null: as the problem says")


class ImproveConfig(RunConfig):
    """Improvement: one round, or several."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$", description="the run folder is runs/NAME unless --run names another")
    problems: SplitsConfig = Field(description="training, held-out and unseen problems")
    samples: int = Field(1, ge=1, description="samples per training problem and round; the control's are as many in all, without hints")
    rounds: int = Field(
        1,
        ge=1,
        le=9,
        description="rounds of sampling and training: the first samples with hints, each later one samples the checkpoint before it as it "
        "is (START's second round); every checkpoint is trained from the base",
    )
    hints: HintsConfig = Field(HintsConfig(), description="hints while sampling")
    recipe: HintRFTConfig = Field(HintRFTConfig(), description="how traces become rows")
    training: SFTSettings = Field(SFTSettings(), description="how rows become a checkpoint")
    control: bool = Field(True, description="also train on unhinted samples of the same effort, for the same number of steps")
    notes: tuple[str, ...] = Field((), description="sentences the report opens with")
