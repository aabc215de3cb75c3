"""What children do in test_sandbox.py: each function is a misdeed, chosen by the job's ``do``."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError, GateRefused


def main(job: dict[str, Any], channel: Channel) -> None:
    channel.step("misbehaving")
    globals()[job["do"]](job, channel)


def answer(job: dict[str, Any], channel: Channel) -> None:
    channel.note("hello \x1b[31mred\x1b[0m")
    channel.answer({"first": True})
    while (question := channel.receive()) is not None:
        channel.answer(question["number"] * 2)


def blocked_signals(job: dict[str, Any], channel: Channel) -> None:
    channel.answer(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))


def tell(job: dict[str, Any], channel: Channel) -> None:
    raise ConversionError("the sample is empty", hint="Fill it.")


def refuse(job: dict[str, Any], channel: Channel) -> None:
    raise GateRefused("graph", "too large")


def fail(job: dict[str, Any], channel: Channel) -> None:
    print("a last word")
    raise ZeroDivisionError("by zero")


def meet_a_full_disk(job: dict[str, Any], channel: Channel) -> None:
    """Not even the log can be written: it lies on the same disk."""
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, sys.stderr.fileno())
    os.write(full, b"x")


def write_too_much(job: dict[str, Any], channel: Channel) -> None:
    Path(job["to"]).write_bytes(bytes(2_000_000))


def leave(job: dict[str, Any], channel: Channel) -> None:
    os._exit(0)


def leave_politely(job: dict[str, Any], channel: Channel) -> None:
    sys.exit(0)


def sleep(job: dict[str, Any], channel: Channel) -> None:
    time.sleep(60)


def spin(job: dict[str, Any], channel: Channel) -> None:
    while True:
        pass


def hoard(job: dict[str, Any], channel: Channel) -> None:
    channel.answer(len(bytearray(job["bytes"])))


def hoard_natively(job: dict[str, Any], channel: Channel) -> None:
    """As a library does that cannot raise: it says why, and aborts."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    if not libc.malloc(ctypes.c_size_t(job["bytes"])):
        print("terminate called after throwing an instance of 'std::bad_alloc'", flush=True)
        os.abort()


def fill_the_disk(job: dict[str, Any], channel: Channel) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    Path("large").write_bytes(bytes(job["bytes"]))
    channel.answer("written")


def crash(job: dict[str, Any], channel: Channel) -> None:
    ctypes.string_at(0)


def chatter(job: dict[str, Any], channel: Channel) -> None:
    os.write(channel._out.fileno(), b"no json\n")
    time.sleep(60)


def connect(job: dict[str, Any], channel: Channel) -> None:
    try:
        socket.create_connection(("127.0.0.1", job["port"]), timeout=5).close()
    except OSError as error:
        channel.answer(f"refused: {error.strerror}")
    else:
        channel.answer("connected")


def connect_locally(job: dict[str, Any], channel: Channel) -> None:
    """By a socket that is a file: the desktop's, a container daemon's."""
    try:
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(job["path"])
    except OSError as error:
        channel.answer(f"refused: {error.strerror}")
    else:
        channel.answer("connected")


def fork(job: dict[str, Any], channel: Channel) -> None:
    try:
        child = os.fork()
    except OSError as error:
        channel.answer(f"refused: {error.strerror}")
        return
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    channel.answer("forked")


def run_a_program(job: dict[str, Any], channel: Channel) -> None:
    try:
        subprocess.run(["true"], check=True)
    except OSError as error:
        channel.answer(f"refused: {error.strerror}")
    else:
        channel.answer("ran")


def use_threads(job: dict[str, Any], channel: Channel) -> None:
    done: list[int] = []
    threads = [threading.Thread(target=done.append, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    channel.answer(len(done))


def escape(job: dict[str, Any], channel: Channel) -> None:
    """Tries to leave a process behind that its session's end does not reach."""
    child = os.fork()
    if child:
        channel.answer("left")
        time.sleep(60)
    for leave in (os.setsid, lambda: os.setpgid(0, 0)):
        with contextlib.suppress(OSError):
            leave()
    if not os.fork():
        Path("escaped").write_text(str(os.getpid()))
        time.sleep(60)
    os._exit(0)


def multiply(job: dict[str, Any], channel: Channel) -> None:
    """A fork bomb that burns out, in case nobody stops it."""
    for _ in range(12):
        os.fork()
    time.sleep(60)


def hoard_together(job: dict[str, Any], channel: Channel) -> None:
    """Each process stays below the limit."""
    for _ in range(8):
        if not os.fork():
            content = bytearray(b"x" * job["bytes"])
            time.sleep(60)
            del content
    time.sleep(60)


def raise_limits(job: dict[str, Any], channel: Channel) -> None:
    try:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, PermissionError):
        channel.answer("kept")
    else:
        channel.answer("raised")


def look_around(job: dict[str, Any], channel: Channel) -> None:
    channel.answer({"environment": dict(os.environ), "folder": os.getcwd(), "user": os.getuid()})


def breed(job: dict[str, Any], channel: Channel) -> None:
    """Leaves a grandchild behind."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    channel.answer(child.pid)
