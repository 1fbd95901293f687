"""HALO's roles on a scripted model."""

import json
import re

from tests.systems.scripted_parts import prompt_of
from tirage.testing.models import ScriptedModel


def by_answer(say):
    """A judge or a scorer that goes by the answer it is shown."""

    def script(request):
        return say(re.search(r"\nAnswer:\n(.*?)\n\n(?:Reply with|A judge said)", prompt_of(request), re.DOTALL)[1])

    return script


def model(*, says, status=lambda answer: "success", score=lambda answer: 0.5, plan=("Solve it.",), **tags):
    """Roles in the order of `says`, each a text or a function of its prompt; `status` and `score` go by the answer."""
    roles = {name: (lambda request, said=said: said(prompt_of(request)) if callable(said) else said) for name, said in says.items()}
    team = json.dumps({"roles": [{"name": name, "purpose": f"Is {name}."} for name in says]})
    scripts = {
        "parser": lambda request: json.dumps({"task_type": "mathematics", "core_intent": "multiply", "key_details": ["six", 7]}),
        "templater": lambda request: json.dumps({"prompt": "a template"}),
        "optimiser": lambda request: json.dumps({"prompt": "a better template"}),
        "writer": lambda request: json.dumps({"prompt": "You multiply." if "system prompt" in prompt_of(request) else "Multiply 6 by 7."}),
        "planner": lambda request: json.dumps(
            {"subtask": (*plan, "stop")[len(re.findall("^Subtask: ", prompt_of(request), re.MULTILINE))]}
        ),
        "designer": lambda request: team,
        "judge": by_answer(lambda answer: json.dumps({"status": status(answer)})),
        "scorer": by_answer(lambda answer: json.dumps({"score": score(answer)})),
    }
    return ScriptedModel(tags={**roles, **scripts, **tags})
