"""Floor 4: many problems at once: agent, tree, verdict, trace; the only place with concurrency over problems."""
