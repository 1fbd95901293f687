"""Floor 1: pure ask/tell algorithms over a tree, no I/O."""

from tirage.search.base import Search, SearchMaker, Trial
from tirage.search.search_base import SearchBase

__all__ = ["Search", "SearchBase", "SearchMaker", "Trial"]
