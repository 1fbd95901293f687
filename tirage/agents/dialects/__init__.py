"""Dialects: how a policy writes tool calls, and how it reads their results."""
