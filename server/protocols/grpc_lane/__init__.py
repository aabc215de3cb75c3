"""gRPC on our own HTTP/2 connection: framing, call heads, statuses, and the asyncio protocol that joins them."""
