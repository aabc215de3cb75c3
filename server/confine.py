"""A process gives up what it does not need, for good, before it touches foreign code or foreign models. Linux;
standard library only.

What is given up: memory, processor time and file sizes above the limits, core dumps, new privileges, and the
network. The network goes twice: an empty network namespace (made with a user namespace, so that no privilege is
needed and even root loses the right to raise its limits again), and a filter on system calls that refuses sockets;
containers allow that where they forbid namespaces. So is leaving the group of processes, which is how its parent
ends it with everything that it started; and on request the starting of others.

What is *not* given up: reading and writing the user's files. A container or a virtual machine is the place for
code from a stranger; the command says so.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import platform
import resource
import signal
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_CLONE_THREAD = 0x00010000
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2


class Bounds(Protocol):
    """What a process may take."""

    @property
    def memory_bytes(self) -> int:
        """Address space (RLIMIT_AS)."""

    @property
    def time_s(self) -> float:
        """Processor seconds (RLIMIT_CPU); the clock is for the parent to watch."""

    @property
    def file_bytes(self) -> int:
        """The longest file that may be written (RLIMIT_FSIZE)."""


def confine(bounds: Bounds, *, may_start_processes: bool = True) -> str:
    """Applies ``bounds`` to this process and its descendants, cuts off the network and dies with the parent.

    Returns an empty text, or why the network could not be cut off.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    in_namespace = _leave_network(libc)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, math.ceil(bounds.time_s), grace=1)  # SIGXCPU says why, SIGKILL a second later
    _lower(resource.RLIMIT_FSIZE, bounds.file_bytes)
    _lower(resource.RLIMIT_AS, bounds.memory_bytes)
    in_filter = _filter_calls(libc, may_start_processes=may_start_processes)
    return in_namespace if in_namespace and in_filter else ""


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


# The filter: a program of the kernel's packet-filter machine (linux/filter.h, linux/seccomp.h).


@dataclass(frozen=True, slots=True)
class _Calls:
    """An architecture's audit number and its numbers of system calls."""

    audit: int
    socket: int
    clone: int
    leaves: tuple[int, int]
    """setpgid and setsid: who may not leave the group of processes can be ended with it."""
    starts: tuple[int, ...]
    """Those that do nothing but start a process: fork, vfork, execve, execveat."""


_ARCHITECTURES: Mapping[str, _Calls] = {
    "x86_64": _Calls(0xC000003E, 41, 56, (109, 112), (57, 58, 59, 322)),
    "aarch64": _Calls(0xC00000B7, 198, 220, (154, 157), (221, 281)),
}
_IO_URING_SETUP = 425
_CLONE3 = 435
_X32 = 0x40000000
"""Numbers from here on are the same calls once more, for another size of pointers."""
_LOAD, _EQUAL, _AT_LEAST, _SOME_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in ``struct seccomp_data`` (little-endian: the low half of the argument)."""
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000
_Step = tuple[int, int, int, int]
"""Code, steps to skip if true, if false, operand."""


def _filter_calls(libc: ctypes.CDLL, *, may_start_processes: bool) -> str:
    calls = _ARCHITECTURES.get(platform.machine())
    if calls is None:
        return f"there is no filter for {platform.machine()}"
    program = _program(calls, may_start_processes=may_start_processes)
    packed = b"".join(struct.pack("<HBBI", *step) for step in program)
    code = ctypes.create_string_buffer(packed, len(packed))
    head = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code)))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, head, 0, 0) == 0:
        return ""
    return f"the system takes no filter ({errno.errorcode.get(ctypes.get_errno(), '')})"


def _program(calls: _Calls, *, may_start_processes: bool) -> Sequence[_Step]:
    steps: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, calls.audit),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
        *_refused(calls.socket, errno.EACCES),
        *_refused(_IO_URING_SETUP, errno.ENOSYS),  # it can make sockets, too
    ]
    for number in calls.leaves:
        steps += _refused(number, errno.EPERM)
    if not may_start_processes:
        for number in calls.starts:
            steps += _refused(number, errno.EPERM)
        steps += _refused(_CLONE3, errno.ENOSYS)  # its flags lie in memory; without it threads take clone
        steps += [
            (_EQUAL, 0, 4, calls.clone),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_SOME_BITS, 1, 0, _CLONE_THREAD),
            (_RETURN, 0, 0, _REFUSE | errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ]
    return [*steps, (_RETURN, 0, 0, _ALLOW)]


def _refused(number: int, code: int) -> tuple[_Step, _Step]:
    return (_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE | code)
