"""Teams of agents: who speaks to whom, as data, drawn and learned."""
