"""Servers written by hand for one model in an afternoon, as well as that goes: what the bench compares with."""
