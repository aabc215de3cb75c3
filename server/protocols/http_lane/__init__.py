"""HTTP/1.1 on the event loop: inference answered without ASGI or tasks, everything else by the ASGI app."""
