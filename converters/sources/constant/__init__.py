"""A constant model: the same answer for every row. A walking skeleton, on the real one's interface."""
