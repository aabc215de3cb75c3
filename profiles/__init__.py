"""Usage profiles: how models are really used, read, merged, imitated and compared. No server is needed."""
