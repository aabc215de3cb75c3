"""Clients and proxies that others wrote, unchanged, against the lanes."""
