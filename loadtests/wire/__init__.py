"""A load generator's connections, written by hand: for what h2load and wrk cannot do, or where they are missing.

``connection.py`` is the contract; ``grpc_connection.py`` and ``http_connection.py`` keep it without any I/O, with
everything encoded beforehand, and of an answer only its success read. Two drive them: a *lane* repeats one call on
asyncio (closed loops, ``driver.py``; crowds), and ``rapide.loadtests.replay`` sends at given instants, whatever
comes back.
"""
