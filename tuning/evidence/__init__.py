"""What docs/tuning.md claims, measured by a command: how near the simulator is to reality, and what tuning
gains."""
