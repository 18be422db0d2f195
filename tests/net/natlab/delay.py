"""The delay process: two TUNs and a queue between them, since some kernels have no netem"""
import contextlib
import fcntl
import heapq
import os
import random
import select
import signal
import struct
import time

from .tools import setns, netns, sh


def delay_main(up_ns, up_if, ns, dev, delay, jitter, parent):
    """Two TUNs and a queue between them."""
    def tun(space, name):
        with netns(space):
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))
            sh("ip", "link", "set", "dev", name, "txqueuelen", "1000")
        return fd
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fds = [tun(up_ns, up_if), tun(ns, dev)]
    with netns(up_ns):
        pass
    fd = os.open("/run/netns/" + up_ns, os.O_RDONLY)
    setns(fd)  # so that tear-down finds this process
    os.close(fd)
    print("ok", flush=True)
    delay, jitter, parent = float(delay) / 1e3, float(jitter) / 1e3, int(parent)
    queue, n, last = [], 0, [0.0, 0.0]
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    while True:
        now = time.monotonic()
        wait = 1000 if not queue else max(0, (queue[0][0] - now) * 1e3)
        if not poll.poll(wait + 0.5 if wait else 0) and parent and os.getppid() != parent:
            return
        now = time.monotonic()
        for i in (0, 1):
            for _ in range(64):
                try:
                    pkt = os.read(fds[i], 65536)
                except BlockingIOError:
                    break
                except OSError:
                    return
                at = last[i] = max(last[i], now + delay + random.random() * jitter)
                n += 1
                heapq.heappush(queue, (at, n, fds[1 - i], pkt))
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, fd, pkt = heapq.heappop(queue)
            with contextlib.suppress(OSError):
                os.write(fd, pkt)
