"""What this machine has: models, sandbox, tools, and a server for them."""
