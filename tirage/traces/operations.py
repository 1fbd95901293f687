"""A rollout as the operations that OpenTelemetry's semantic conventions for generative AI name (v0.1.0, status Development).

The tree is an `invoke_workflow`; a role's turn, i.e. a conversation with a prompt of its own, an `invoke_agent` below it (`plan` where the
role is a planner); each model's step a `chat`, each tool call an `execute_tool`, around a `retrieval` where it searched a collection.
Verdicts are events `gen_ai.evaluation.result` at the operation that they judge. What the conventions do not name begins with `tirage.`.

A trace knows how long the whole rollout and each tool call took, and no other time. So the operations lie one after the other within
the rollout's wall time, in the order in which the nodes joined the tree: tool calls as long as they took, model calls sharing what is left
in proportion to the tokens they sampled. Where calls ran side by side and took longer together than the rollout, all are shortened alike.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tirage.core.message import Message, Observation, ObservationStatus, ToolCall
from tirage.core.rollout import Rollout
from tirage.core.step import Finish, Usage
from tirage.core.tree import ROOT, Node
from tirage.core.verdict import Verdict

Attribute = str | int | float | bool | tuple[str, ...]

_PLANNER = re.compile(r"planner\b")
_REASONS = {Finish.CALL: "tool_call", Finish.LENGTH: "length", Finish.ERROR: "error"}
_FINE = (ObservationStatus.OK, ObservationStatus.FINAL, ObservationStatus.GAVE_UP)
_LABELS = {True: "correct", False: "incorrect", None: "ungraded"}


@dataclass(slots=True, kw_only=True, eq=False)
class Operation:
    """One operation, to be sent as a span."""

    id: int
    """64 bits, never 0; the same whenever the same rollout is read."""
    name: str
    parent: "Operation | None" = None
    """None for the workflow."""
    answers: "Operation | None" = None
    """The turn that this turn hangs below in the tree."""
    attributes: dict[str, Attribute] = field(default_factory=dict)
    events: list[dict[str, Attribute]] = field(default_factory=list)
    """Attributes of its `gen_ai.evaluation.result` events, which all lie at its end."""
    remote: bool = False
    """Whether it asks somebody outside: kind CLIENT, otherwise INTERNAL."""
    failure: str | None = None
    """What broke; None where nothing did."""
    start_s: float = 0.0
    """Unix time."""
    end_s: float = 0.0


def trace_id(rollout: Rollout) -> int:
    """128 bits, from the rollout's key, its configuration and when it was finished: two runs that share keys do not share traces."""
    return _digest(16, rollout.key, rollout.config_hash, repr(rollout.finished_at))


def operations(rollout: Rollout, *, content: bool = False) -> list[Operation]:
    """The operations of `rollout`, the workflow first, each behind its parent.

    `content`: with the texts (problem, prompts, replies, arguments, results, a verdict's words), which may be private. Prompts stand at the
    workflow and at the turns; a `chat` holds what was written, not again all that was read.
    """
    return _Reading(rollout, content).read()


class _Reading:
    def __init__(self, rollout: Rollout, content: bool) -> None:
        self.rollout = rollout
        self.content = content
        self.model = _model(rollout.model)
        self.found: list[Operation] = []
        self.known: dict[int, float] = {}
        """Seconds of the operations whose time is known, by id."""
        self.asked: dict[int, int] = {}
        """Tokens of the model calls, by id."""

    def read(self) -> list[Operation]:
        root = self._workflow()
        turns, ends = {ROOT: root}, {ROOT: root}
        for node in self.rollout.tree.nodes[1:]:
            turn = turns[node.index] = self._turn(node, turns)
            ends[node.index] = self._step(node, turn)
        for index, verdict in self.rollout.verdicts.items():
            ends[index].events.append(self._evaluation(verdict))
        self._lay(root)
        return self.found

    def _add(self, place: str, operation: str, subject: str, parent: Operation | None, **rest: Any) -> Operation:
        attributes = {"gen_ai.operation.name": operation} | rest.pop("attributes", {})
        number = _digest(8, self.rollout.key, place)
        name = f"{operation} {subject}".strip()
        self.found.append(Operation(id=number, name=_printable(name), parent=parent, attributes=attributes, **rest))
        return self.found[-1]

    def _workflow(self) -> Operation:
        rollout, tree = self.rollout, self.rollout.tree
        attributes: dict[str, Attribute] = {
            "gen_ai.agent.name": rollout.stage,
            **_usage(tree.usage),
            "tirage.key": rollout.key,
            "tirage.problem": rollout.problem.id,
            "tirage.policy": tree.policy_id,
            "tirage.nodes": len(tree.nodes) - 1,
            "tirage.chosen": tree.chosen,
        }
        if tree.ended:
            attributes["tirage.ended"] = tree.ended
        if self.content:
            attributes["gen_ai.input.messages"] = _messages([Message(role="user", content=rollout.problem.prompt)])
            if rollout.trajectory is not None:
                attributes["gen_ai.output.messages"] = _messages([Message(role="assistant", content=rollout.trajectory.response)])
        return self._add("workflow", "invoke_workflow", rollout.stage, None, attributes=attributes)

    def _turn(self, node: Node, turns: Mapping[int, Operation]) -> Operation:
        """The turn that `node` belongs to. What a workflow wrote or called by itself belongs to the workflow: nobody was asked."""
        root = self.found[0]
        opening = node.step.opening if node.step is not None else None
        if opening is None:
            return turns[node.parent]
        if not opening.messages:
            return root
        attributes: dict[str, Attribute] = {"tirage.node": node.index}
        if node.move:
            attributes["gen_ai.agent.name"] = node.move
        plans = _PLANNER.match(node.move) is not None
        if not plans:
            attributes |= self.model
        if self.content:
            attributes["gen_ai.input.messages"] = _messages(opening.messages)
        above = turns[node.parent]
        answers = above if above is not root else None
        operation = "plan" if plans else "invoke_agent"
        return self._add(f"turn {node.index}", operation, node.move, root, answers=answers, attributes=attributes)

    def _step(self, node: Node, turn: Operation) -> Operation:
        """What happened in one node; the operation that stands for it."""
        step, end = node.step, turn
        assert step is not None
        if step.usage.model_calls or step.policy_text or (step.opening is not None and step.opening.messages):
            end = self._chat(node, turn)
        for place, call in enumerate(step.calls):
            seen = step.observations[place] if place < len(step.observations) else None
            self._call(f"call {node.index}.{place}", call, seen, turn)
        if node.error is not None:
            end = self._chat(node, turn) if end is turn and node.error.boundary == "model" else end
            end.attributes["error.type"] = node.error.kind
            end.failure = node.error.message if self.content else node.error.kind
        return end

    def _chat(self, node: Node, turn: Operation) -> Operation:
        step = node.step
        assert step is not None
        sampling = {name: self.rollout.sampling.get(name) for name in ("temperature", "top_p", "max_tokens")}
        attributes: dict[str, Attribute] = {
            **self.model,
            **{f"gen_ai.request.{name}": value for name, value in sampling.items() if value is not None},
            "gen_ai.response.finish_reasons": (_REASONS.get(step.finish, "stop"),),
            "gen_ai.conversation.id": self.rollout.key,
            **_usage(step.usage),
            "tirage.node": node.index,
            "tirage.parent": node.parent,
        }
        if self.content:
            attributes["gen_ai.output.messages"] = _messages([Message(role="assistant", content=step.policy_text, tool_calls=step.calls)])
        remote = "server.address" in attributes or self.rollout.model.startswith("litellm/")
        subject = str(self.model["gen_ai.request.model"])
        chat = self._add(f"chat {node.index}", "chat", subject, turn, remote=remote, attributes=attributes)
        self.asked[chat.id] = step.usage.tokens_out
        return chat

    def _call(self, place: str, call: ToolCall, seen: Observation | None, turn: Operation) -> None:
        attributes: dict[str, Attribute] = {"gen_ai.tool.name": call.name, "gen_ai.tool.type": "function"}
        if call.id:
            attributes["gen_ai.tool.call.id"] = call.id
        if self.content:
            attributes["gen_ai.tool.call.arguments"] = call.arguments
            if seen is not None:
                attributes["gen_ai.tool.call.result"] = seen.text
        tool = self._add(place, "execute_tool", call.name, turn, attributes=attributes)
        self.known[tool.id] = seen.duration_s if seen is not None else 0.0
        if seen is None:
            return
        if seen.status not in _FINE:
            tool.attributes["error.type"] = tool.failure = seen.status.value
        if "collection" in seen.data:
            self._retrieval(place, call, seen, tool)

    def _retrieval(self, place: str, call: ToolCall, seen: Observation, tool: Operation) -> None:
        attributes: dict[str, Attribute] = {"gen_ai.data_source.id": str(seen.data["collection"])}
        asked = _object(call.arguments)
        if isinstance(asked.get("k"), int):
            attributes["gen_ai.retrieval.top_k"] = asked["k"]
        if self.content:
            attributes["gen_ai.retrieval.query.text"] = str(asked.get("query", ""))
            attributes["gen_ai.retrieval.documents"] = json.dumps([{"id": chunk} for chunk in seen.data.get("chunks", ())])
        self._add(f"{place} retrieval", "retrieval", str(seen.data["collection"]), tool, attributes=attributes)

    def _evaluation(self, verdict: Verdict) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {
            "gen_ai.evaluation.name": verdict.verifier,
            "gen_ai.evaluation.score.label": _LABELS[verdict.correct],
        }
        if verdict.score is not None:
            attributes["gen_ai.evaluation.score.value"] = verdict.score
        if self.content and verdict.detail:
            attributes["gen_ai.evaluation.explanation"] = verdict.detail
        return attributes

    def _lay(self, root: Operation) -> None:
        """Give every operation its time, and every text a form that can be sent."""
        wall, tools = max(self.rollout.wall_s, 0.0), sum(self.known.values())
        shrink = min(1.0, wall / tools) if tools > 0 else 0.0
        # A model call counts one token more than it sampled, so that one that failed has a place too.
        share = (wall - tools * shrink) / max(1, sum(tokens + 1 for tokens in self.asked.values()))
        root.end_s = max(self.rollout.finished_at, wall)
        now = root.start_s = root.end_s - wall
        for operation in self.found[1:]:
            above = operation.parent
            operation.start_s = above.start_s if above is not None and above.id in self.known else now
            now += self.known[operation.id] * shrink if operation.id in self.known else (self.asked.get(operation.id, -1) + 1) * share
            operation.end_s = now
        for operation in self.found:
            if operation.parent is not None:
                operation.parent.end_s = max(operation.parent.end_s, operation.end_s)
            operation.attributes = {name: _printable(value) for name, value in operation.attributes.items()}
            operation.failure = _printable(operation.failure)
            operation.events = [{name: _printable(value) for name, value in event.items()} for event in operation.events]


def _model(model: str) -> dict[str, Attribute]:
    """What is known of the model: `URL#NAME` is served by the API that OpenAI made common, `litellm/PROVIDER/NAME` says whose it is."""
    if model.startswith(("http://", "https://")):
        place = urlsplit(model)
        port = place.port or (443 if place.scheme == "https" else 80)
        server: dict[str, Attribute] = {"server.address": place.hostname or "", "server.port": port}
        return {"gen_ai.provider.name": "openai", "gen_ai.request.model": place.fragment, **server}
    provider, _, name = model.removeprefix("litellm/").partition("/")
    if model.startswith("litellm/") and name:
        return {"gen_ai.provider.name": provider, "gen_ai.request.model": name}
    return {"gen_ai.provider.name": "tirage", "gen_ai.request.model": model}


def _usage(usage: Usage) -> dict[str, Attribute]:
    counts: dict[str, Attribute] = {"gen_ai.usage.input_tokens": usage.tokens_in, "gen_ai.usage.output_tokens": usage.tokens_out}
    return counts | ({"gen_ai.usage.cache_read.input_tokens": usage.tokens_cached} if usage.tokens_cached else {})


def _object(text: str) -> dict[str, Any]:
    """The JSON object in `text`; empty where there is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _messages(messages: Iterable[Message]) -> str:
    """As the conventions' JSON schema of messages has them; a span's attribute holds them as text."""
    found: list[dict[str, Any]] = []
    for message in messages:
        parts: list[dict[str, Any]] = [{"type": "text", "content": message.content}] if message.content else []
        if message.role == "tool":
            parts = [{"type": "tool_call_response", "id": message.tool_call_id, "response": message.content}]
        parts += [{"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments} for call in message.tool_calls]
        found.append({"role": message.role, "parts": parts})
    return json.dumps(found)


def _printable(value: Any) -> Any:
    """Text without halves of surrogate pairs, which UTF-8 cannot hold."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _digest(size: int, *parts: str) -> int:
    found = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()[:size]
    return int.from_bytes(found, "big") or 1
