"""Load: locust users, the benchmark and its baselines. Never imported by the other folders."""
