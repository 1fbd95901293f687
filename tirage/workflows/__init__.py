"""Floor 4: several roles on one tree: roles, turns, approval, tool calls of the workflow itself."""
