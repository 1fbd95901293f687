"""Stored rollouts and where a checkpoint comes from."""
