"""Pure functions between bytes and tensors; they know no server and no engine."""
