"""Floor 7: many problems at once: agent, tree, verdict, trace; the only place with concurrency over problems."""
