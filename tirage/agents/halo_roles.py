"""HALO's roles, but for those that its designer invents: how they are asked, and what is taken where a reply cannot be read."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from tirage.agents.roles import Role, as_json, whole
from tirage.search.role_search import Status

Words = Annotated[str, StringConstraints(strip_whitespace=True)]


class _Reply(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)


class Parsed(_Reply):
    """What a request is about."""

    task_type: Words
    core_intent: Words
    key_details: list[Words]


class Drafted(_Reply):
    """A stage of a prompt that is being written."""

    prompt: Words


class Planned(_Reply):
    """What to do next: a subtask, or "stop"."""

    subtask: Words

    @property
    def stops(self) -> bool:
        """Whether there is nothing left to do."""
        return self.subtask.strip("\"'. ").lower() == "stop"


class Designed(_Reply):
    """A role for a subtask."""

    name: Annotated[Words, StringConstraints(min_length=1, max_length=60)]
    purpose: Words = ""


class Team(_Reply):
    """The roles for a subtask, each name once."""

    roles: Annotated[list[Designed], Field(min_length=1)]

    @field_validator("roles")
    @classmethod
    def _each_once(cls, roles: list[Designed]) -> list[Designed]:
        return list({role.name.casefold(): role for role in reversed(roles)}.values())[::-1]


class Judged(_Reply):
    """What a judge says of an answer."""

    status: Status


class Scored(_Reply):
    """How good an answer is."""

    score: Annotated[float, Field(ge=0, le=1)]


PARSER = Role(
    name="parser",
    template=(
        "Read the request and say what it is about. Do not answer it.\n\nRequest:\n{problem}\n\n"
        'Reply with a JSON object: "task_type" (such as mathematics, code, multiple choice), "core_intent" (one sentence), "key_details" '
        "(a list of texts: every number, condition and constraint, copied exactly)."
    ),
    read=as_json(Parsed),
    default=Parsed(task_type="", core_intent="", key_details=[]),
)
_DRAFT = 'Reply with a JSON object: "prompt" (the text).'
TEMPLATER = Role(
    name="templater",
    template=(
        "{brief}\n\nFirst write a template for it: who the model is, what it is to do, how to go about it, what to watch out for, and what "
        f"form the reply must have, with [placeholders] for the details.\n\n{_DRAFT}"
    ),
    read=as_json(Drafted),
    default=Drafted(prompt=""),
)
OPTIMISER = Role(
    name="optimiser",
    template=(
        "{brief}\n\nThis is the template so far:\n{draft}\n\nImprove it: make it clear and complete, ask for reasoning step by step where "
        f"that helps, drop what does not.\n\n{_DRAFT}"
    ),
    read=as_json(Drafted),
    default=Drafted(prompt=""),
)
WRITER = Role(
    name="writer",
    template=(
        "{brief}\n\nThis is the template:\n{draft}\n\nWrite the prompt itself: fill in every placeholder, change no fact, leave no detail "
        f"out.\n\n{_DRAFT}"
    ),
    read=as_json(Drafted),
    default=Drafted(prompt=""),
)
DRAFTERS = (TEMPLATER, OPTIMISER, WRITER)
"""One after the other; where a reply cannot be read, the prompt stays as it was before."""
PLANNER = Role(
    name="planner",
    template=(
        "Plan how the task is done, one subtask at a time. Do not do it yourself.\n\nTask:\n{query}\n\nDone so far:\n{history}\n\n"
        "At most {left} more subtasks can be given. Name the one that comes next, so that it can be understood by itself; the last one has "
        'to give the answer to the whole task. Where the answer to the last subtask answers the task, say "stop".\n\n'
        'Reply with a JSON object: "subtask" (the next subtask, or "stop").'
    ),
    read=as_json(Planned),
    default=Planned(subtask=""),
)
DESIGNER = Role(
    name="designer",
    template=(
        "Which experts should work on the subtask? They answer one after another, each seeing what the others before said.\n\n"
        "Task:\n{query}\n\nSubtask:\n{subtask}\n\n"
        'Reply with a JSON object: "roles" (a list of at most {most} objects with "name", a few words, and "purpose", one sentence).'
    ),
    read=as_json(Team),
    default=Team(roles=[Designed(name="Solver", purpose="Solves the subtask step by step.")]),
)
SOLVER = Role(
    name="solver",
    template="Task:\n{query}\n\n{history}Your subtask:\n{subtask}\n\n{form}",
    read=whole,
    default="",
    answers=True,
)
"""What each designed role is made from."""
JUDGE = Role(
    name="judge",
    template=(
        "Judge an answer to a subtask.\n\nTask:\n{query}\n\nSubtask:\n{subtask}\n\nAnswer:\n{answer}\n\n"
        'Reply with a JSON object: "status", which is "success" where the answer does what the subtask asks and is right, "fail" where it '
        'is wrong and cannot be mended, "continue" where another expert should go on from it.'
    ),
    read=as_json(Judged),
    default=Judged(status="continue"),
    decides=True,
    temperature=0.0,
)
SCORER = Role(
    name="scorer",
    template=(
        "Score an answer to a subtask from 0 to 1. Avoid the extremes.\n\nTask:\n{query}\n\nSubtask:\n{subtask}\n\nAnswer:\n{answer}\n\n"
        'A judge said of it: {status}.\n\nReply with a JSON object: "score" (a decimal number).'
    ),
    read=as_json(Scored),
    default=Scored(score=0.5),
    decides=True,
    temperature=0.0,
)
FORMS = {
    "choice": "End with the letter of your choice in \\boxed{}.",
    "code": "End with the whole program in one fenced block.",
    "text": "End with <answer>your answer</answer>.",
}
"""How an answer ends, by the kind of problem."""
BOXED = "End with your answer in \\boxed{}."
"""For kinds that `FORMS` does not name."""
