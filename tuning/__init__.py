"""The tuner: measures what a model costs here, simulates how it is used, proves the best, and writes it down."""
