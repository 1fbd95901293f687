"""Words to open parts: model strings, sandboxes, tools, searches, dialects, topologies, and the agent made of them."""
