"""Locust users for both protocols, and what they share: options, payloads, the verdict at the end."""
