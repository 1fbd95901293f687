"""The in-process engine: continuous batching whose samples do not depend on what else is in flight. Needs torch."""
