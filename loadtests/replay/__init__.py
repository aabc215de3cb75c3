"""Replays recorded or made-up traffic at a server, at its own instants, and measures from them.

``run.replay`` is the whole of it: ``plan`` is what is wanted, ``schedule`` when each request is due, ``calls``
what is sent, ``generator`` the loop that sends (in processes of its own, ``sender``), ``result`` what was found.
"""
