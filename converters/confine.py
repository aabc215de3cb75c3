"""A process gives up what it does not need, for good, before it touches foreign code. Linux; standard library
only.

What is given up: memory, processor time and file sizes above the limits, core dumps, new privileges, and the
network (an empty network namespace, made with a user namespace, so that no privilege is needed and even root loses
the right to raise its limits again). What is *not* given up: reading and writing the user's files, and starting
programs. A container or a virtual machine is the place for a model from a stranger; the command says so.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import resource
import signal
from pathlib import Path

from rapide.converters.limits import Limits

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def confine(limits: Limits) -> str:
    """Applies ``limits`` to this process and its descendants, cuts off the network and dies with the parent.

    Returns an empty text, or why the network could not be cut off (containers often forbid namespaces).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    problem = _leave_network(libc)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, math.ceil(limits.time_s), grace=1)  # SIGXCPU says why, SIGKILL a second later
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    _lower(resource.RLIMIT_AS, limits.memory_bytes)
    return problem


def _lower(kind: int, most: int, grace: int = 0) -> None:
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard - grace)
    resource.setrlimit(kind, (most, most + grace))


def _leave_network(libc: ctypes.CDLL) -> str:
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        # Keep the names of user and group: files are created as before.
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
        return ""
    if libc.unshare(_CLONE_NEWNET) == 0:  # root where user namespaces are switched off
        return ""
    code = ctypes.get_errno()
    return f"the system does not allow it ({errno.errorcode.get(code, str(code))})"
