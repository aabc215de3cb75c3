"""What runs in a simulation: a clock, cores, the load generator, and the workers of a server. ``simulator`` puts
them together."""
