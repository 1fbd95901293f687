"""HALO's roles, but for those that its designer invents: how they are asked, and what is taken where a reply cannot be read."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from tirage.agents.replies import as_json, whole
from tirage.search.role_search import Status
from tirage.systems.prompts import prompt
from tirage.workflows.roles import Role

StrippedText = Annotated[str, StringConstraints(strip_whitespace=True)]


class _Reply(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)


class Parsed(_Reply):
    """What a request is about."""

    task_type: StrippedText
    core_intent: StrippedText
    key_details: list[StrippedText]


class Drafted(_Reply):
    """A stage of a prompt that is being written."""

    prompt: StrippedText


class Planned(_Reply):
    """What to do next: a subtask, or "stop"."""

    subtask: StrippedText

    @property
    def stops(self) -> bool:
        """Whether there is nothing left to do."""
        return self.subtask.strip("\"'. ").lower() == "stop"


class Designed(_Reply):
    """A role for a subtask."""

    name: Annotated[StrippedText, StringConstraints(min_length=1, max_length=60)]
    purpose: StrippedText = ""


class DesignedTeam(_Reply):
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
    template=prompt("halo", "parser"),
    read=as_json(Parsed),
    default=Parsed(task_type="", core_intent="", key_details=[]),
)
_DRAFT = 'Reply with a JSON object: "prompt" (the text).'
TEMPLATER = Role(
    name="templater",
    template=prompt("halo", "templater"),
    read=as_json(Drafted),
    default=Drafted(prompt=""),
)
OPTIMISER = Role(
    name="optimiser",
    template=prompt("halo", "optimiser"),
    read=as_json(Drafted),
    default=Drafted(prompt=""),
)
WRITER = Role(
    name="writer",
    template=prompt("halo", "writer"),
    read=as_json(Drafted),
    default=Drafted(prompt=""),
)
DRAFTERS = (TEMPLATER, OPTIMISER, WRITER)
"""One after the other; where a reply cannot be read, the prompt stays as it was before."""
PLANNER = Role(
    name="planner",
    template=prompt("halo", "planner"),
    read=as_json(Planned),
    default=Planned(subtask=""),
)
DESIGNER = Role(
    name="designer",
    template=prompt("halo", "designer"),
    read=as_json(DesignedTeam),
    default=DesignedTeam(roles=[Designed(name="Solver", purpose="Solves the subtask step by step.")]),
)
SOLVER = Role(
    name="solver",
    template=prompt("halo", "solver"),
    read=whole,
    default="",
    answers=True,
)
"""What each designed role is made from."""
JUDGE = Role(
    name="judge",
    template=prompt("halo", "judge"),
    read=as_json(Judged),
    default=Judged(status="continue"),
    decides=True,
    temperature=0.0,
)
SCORER = Role(
    name="scorer",
    template=prompt("halo", "scorer"),
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
