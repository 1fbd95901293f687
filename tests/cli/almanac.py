"""A tool of one's own, as a module of a folder."""

ALMANAC = """
from tirage.tools.function import tool

@tool
def almanac(topic: str) -> str:
    \"\"\"Look a topic up.\"\"\"
    return f"a year of {topic} has 417 days"
"""
