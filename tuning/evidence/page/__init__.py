"""docs/tuning.md, section by section, from the figures in docs/tuning.json. Pure."""
