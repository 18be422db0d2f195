"""Small tools: namespaces, commands, sysctls, processes"""
import contextlib
import ctypes
import os
import re
import subprocess

_libc = ctypes.CDLL(None, use_errno=True)


def setns(fd):
    if _libc.setns(fd, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def netns(name):
    """This thread (and the children it starts) is inside the namespace."""
    old = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        new = os.open("/run/netns/" + name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(new)
        finally:
            os.close(new)
        try:
            yield
        finally:
            setns(old)
    finally:
        os.close(old)


def sh(*argv, input=None, check=True):
    r = subprocess.run(argv, input=input, text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, stdin=None if input else subprocess.DEVNULL)
    if check and r.returncode:
        bad = re.search(r"-:(\d+)", r.stderr)
        line = input.splitlines()[int(bad[1]) - 1] if bad and input else input or ""
        raise RuntimeError(f"{' '.join(argv)}: {r.stderr.strip()}\n{line[:2000]}")
    return r.stdout


def nft(ns, text, check=True):
    with netns(ns):
        return sh("nft", "-f", "-", input=text, check=check)


def sysctl(ns, **kv):
    with netns(ns):
        for k, v in kv.items():
            with contextlib.suppress(FileNotFoundError):
                with open("/proc/sys/net/" + k.replace("__", "/"), "w") as f:
                    f.write(str(v))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
