"""Floor 10: tirage as a server. Servers bind loopback; over HTTP they need a token."""
