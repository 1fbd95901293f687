"""Floor 5: teams of agents: topologies on a graph, stock and learned."""
