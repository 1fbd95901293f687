"""One question, one call: the embedded model thinks, runs Python in the sandbox and answers. Works in notebooks too."""

from collections import Counter

import tirage

solution = tirage.solve("What is 4839 * 2716?", answer="13142724")

print("answer: ", solution.answer)
print("correct:", solution.verdict.correct if solution.verdict else "nothing to judge")

# The trajectory is the chosen path; each step is one turn of the policy, each span a run of tokens by one author.
trajectory = solution.trajectory
assert trajectory is not None
for step in trajectory.steps:
    for call, observation in zip(step.calls, step.observations, strict=True):
        print("ran:    ", call.arguments, "->", repr(observation.text))

tokens = Counter(source.value for source in trajectory.token_sources or ())
print("tokens: ", ", ".join(f"{count} by {author}" for author, count in tokens.items()))

# What happened is kept, to look at with `tirage trace show RUN`; run=None keeps nothing.
print("trace:  ", solution.run)

# Another model is another string: http://localhost:8000/v1#NAME, vllm/NAME, hf/PATH, openai/NAME, litellm/PROVIDER/NAME.
