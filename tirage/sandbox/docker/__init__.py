"""Docker containers as a sandbox back end."""
