"""From a published version to faster forms of it: made, measured, compared, and kept only where they are
better."""
