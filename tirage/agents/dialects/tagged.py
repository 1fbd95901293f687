"""Calls between tags: code (ReTool), queries (Search-R1, UR2) or JSON (Hermes), in the model's own text, with results between tags too."""

import json
from collections.abc import Sequence
from textwrap import dedent
from typing import Any

from tirage.agents.dialects.base import Reading
from tirage.agents.dialects.tag_sets import TagSet
from tirage.agents.prompts import prompt
from tirage.core.message import Observation, ToolCall
from tirage.core.step import Finish, Source
from tirage.models.base import Completion
from tirage.models.model_json import read_object
from tirage.tools.base import ToolSpec
from tirage.verification.fences import fenced_blocks


class Tagged:
    """A dialect whose calls and results stand between the tags of one set."""

    uses_schemas = False
    closers: tuple[str, ...] = ()

    def __init__(self, tags: TagSet) -> None:
        """In the form of `tags`."""
        self.tags = tags
        self.name = f"tags-{tags.name}"
        self.stops = (tags.query[1], tags.answer[1])

    def read(self, step_text: str, completion: Completion) -> Reading:
        """Every closed call, in order, whatever stands behind it; else the end of the turn, or of its tokens."""
        tags = self.tags
        found = list(tags.queries.finditer(step_text))
        calls = []
        for number, asked in enumerate(found, 1):
            try:
                calls.append(self._call(asked[1]))
            except ValueError as error:
                return Reading(finish=Finish.MALFORMED, problem=f"call {number} between {tags.query[0]} and {tags.query[1]}: {error}")
        if calls:
            return Reading(finish=Finish.CALL, calls=tuple(calls), ends=tuple(asked.end() for asked in found))
        if completion.finish == "length":
            return Reading(finish=Finish.LENGTH)
        if step_text.rfind(tags.query[0]) > step_text.rfind(tags.query[1]):
            return Reading(finish=Finish.MALFORMED, problem=f"{tags.query[0]} is not closed by {tags.query[1]}")
        return Reading(finish=Finish.STOP)

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """The results between their tags; tags in a result are told in brackets, so that it can neither call nor answer."""
        shown: list[tuple[Source, str]] = []
        opening = "" if not tail or tail.endswith("\n") else "\n"
        for observation in observations:
            text = self.tags.any.sub(lambda found: f"[{found[0].strip('<>')}]", observation.text).rstrip("\n")
            before, after = f"{opening}{self.tags.result[0]}\n", f"{self.tags.result[1]}\n"
            shown += [(Source.SCAFFOLD, before), (Source.TOOL, text + "\n"), (Source.SCAFFOLD, after)]
            opening = ""
        return shown

    def _call(self, text: str) -> ToolCall:
        """What stands between the tags. Raises ValueError for what is no call."""
        if not self.tags.tool:
            asked = read_object(text)
            name, arguments = asked.get("name"), asked.get("arguments", asked.get("parameters", {}))
            if not isinstance(name, str) or not name:
                raise ValueError('write a JSON object like {"name": ..., "arguments": {...}}')
            given = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            return ToolCall(name=name, arguments=given)
        blocks = fenced_blocks(text)
        said = blocks[0].code if blocks else dedent(text).strip()
        if not said.strip():
            raise ValueError("it is empty")
        return ToolCall(name=self.tags.tool, arguments=json.dumps({self.tags.argument: said.removesuffix("\n")}, ensure_ascii=False))

    def told(self, tools: Sequence[ToolSpec]) -> str:
        """The system message that explains the tags, with the tools where calls name them."""
        kind = {"python": "code", "": "json"}.get(self.tags.tool, "query")
        schemas: list[dict[str, Any]] = [tool.schema() for tool in tools]
        listed = "\n".join(json.dumps(schema, ensure_ascii=False) for schema in schemas)
        return prompt("tags", kind).format(**self.tags.fields(), tools=listed)
