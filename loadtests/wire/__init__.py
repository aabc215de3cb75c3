"""A load generator of our own, for what h2load and wrk cannot do or where they are not installed.

A *lane* is one client connection that sends copies of one request as cheaply as Python can: everything is encoded
beforehand, and of an answer only its success is read. ``driver.py`` keeps lanes busy: so many requests in flight
(closed loop), or so many a second whatever comes back (open loop).
"""
