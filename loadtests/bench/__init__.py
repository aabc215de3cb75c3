"""The benchmark: hand-written servers and ours side by side in one run, in turn, on the same core."""
