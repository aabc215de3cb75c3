"""The running service: everything between a socket and ``session.run`` (docs/architecture.md)."""
