#!/usr/bin/env python3
# ctest: timeout=60 beside
"""What a service manager is told by a daemon and hands over to it, and that a daemon which root starts by hand keeps no right that it
does not need.

    coord
      |
    inet ---- a1, b1   public hosts; in one case a1 is where only TCP port 443 gets out
"""
import contextlib
import os
import pwd
import re
import signal
import socket
import subprocess
import time

from harness import FACTOR, PROGRAMS, SANITIZERS, Mesh, Site, check, main, netns, wait_until

CAP_NET_BIND_SERVICE, CAP_NET_ADMIN = 10, 12


def mesh_of_two():
    return Mesh([Site("a", "open"), Site("b", "open")])


class Manager:
    """In systemd's place: its socket, and all that was said there."""

    def __init__(self, path):
        self.path, self.said = path, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)

    def hear(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said.append(self.socket.recv(4096).decode())
        return self.said

    def count(self, line):
        return sum(line in datagram.split("\n") for datagram in self.hear())

    def last_status(self):
        found = [line for datagram in self.hear() for line in datagram.split("\n") if line.startswith("STATUS=")]
        return found[-1] if found else ""


def the_service_manager_is_told():
    with mesh_of_two() as mesh:
        manager = Manager(f"{mesh.dir}/notify")
        mesh.start("coord", "b1")
        node = mesh.nodes["a1"]
        node.start({"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "1000000"})
        wait_until(lambda: manager.count("READY=1"), 3 * FACTOR, "READY=1")
        check(node.ready(), "READY=1 came before the control socket answers")
        begin, before = time.monotonic(), manager.count("WATCHDOG=1")
        wait_until(lambda: manager.count("WATCHDOG=1") >= before + 3, 3 * FACTOR, "three signs of life")
        check(time.monotonic() - begin > 0.9, "more signs of life than two a WATCHDOG_USEC")
        check(mesh.ping("a1", "b1", 5) is not None, "no ping")
        wait_until(lambda: manager.last_status() == "STATUS=1 of 1 peers", 3, "the status counts the peer")

        readies = manager.count("READY=1")
        check(mesh.ctl("a1", "reload").returncode == 0, "a reload failed")
        wait_until(lambda: manager.count("READY=1") > readies, 1, "READY=1 after a reload")
        at = next(i for i, d in enumerate(manager.said) if d.startswith("RELOADING=1\n"))
        check(re.search(r"\nMONOTONIC_USEC=\d+\n", manager.said[at]), f"reloading says {manager.said[at]!r}")
        check("READY=1" in manager.said[at + 1:], "READY=1 did not follow RELOADING=1")
        with open(node.conf, "a") as f:
            f.write("nonsense = 1\n")
        check(mesh.ctl("a1", "reload").returncode == 78, "a broken file was taken")
        wait_until(lambda: "the last reload failed" in manager.last_status(), 1, "the status tells of the failed reload")
        node.stop()
        check(manager.hear()[-1].startswith("STOPPING=1"), f"the last word was {manager.said[-1]!r}")


def rights(pid):
    """Of each thread: uids, and the capability sets, which must be the same for all but for effective ones."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as f:
            yield dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def check_rights(node, uid, cap):
    for status in rights(node.process.pid):
        check(set(status["Uid"].split()) == {str(uid)}, f"{node.host}: a thread has the uids {status['Uid']}")
        check(status["NoNewPrivs"] == "1", f"{node.host}: it may get new rights")
        for name in "CapEff", "CapPrm", "CapBnd":
            check(int(status[name], 16) == 1 << cap, f"{node.host}: {name} is {status[name]}, not 1 << {cap}")
        for name in "CapInh", "CapAmb":
            check(int(status[name], 16) == 0, f"{node.host}: {name} is {status[name]}")


def root_becomes_an_ordinary_user():
    nobody = pwd.getpwnam("nobody")
    with mesh_of_two() as mesh:
        os.chmod(mesh.dir, 0o711)
        for host in "coord", "a1":
            node = mesh.nodes[host]
            node.control = f"{mesh.dir}/{host}.run/net.sock"  # neither directory is there yet
            with open(node.conf, "a") as f:
                f.write(f'control_socket = "{node.control}"\nstate_dir = "{mesh.dir}/{host}.lib/net"\n')
            os.chmod(node.conf, 0o644)  # the keys stay root's alone
        mesh.start("coord", "a1", args=("--user", "nobody"))
        mesh.start("b1", args=("--user", "root"))
        check(mesh.ping("a1", "b1", 5) is not None, "no ping between the two")
        check_rights(mesh.nodes["coord"], nobody.pw_uid, CAP_NET_BIND_SERVICE)  # it listens on 443
        check_rights(mesh.nodes["a1"], nobody.pw_uid, CAP_NET_ADMIN)
        for path in f"{mesh.dir}/a1.run", f"{mesh.dir}/a1.lib/net":
            check(os.stat(path).st_uid == nobody.pw_uid, f"{path} is not the user's")
        with open(mesh.nodes["a1"].conf, "a") as f:
            f.write("log_level = debug\n")
        r = mesh.ctl("a1", "reload")
        check(r.returncode == 0 and "applied: log_level" in r.stdout, f"reload says {r}")
        mesh.nodes["a1"].stop()  # and with it goes what it had made
        mesh.start("a1", args=("--user", "nobody"))
        check(mesh.ping("a1", "b1", 5) is not None, "no ping after a restart")


def what_is_in_the_way_is_named():
    with mesh_of_two() as mesh:
        node = mesh.nodes["a1"]
        for args, words, code in ((("--user", "nobody"), "chown -R nobody:", 77),
                                  (("--user", "no-such-user"), "there is no such user", 64)):
            node.start(args=args)
            check(node.process.wait(5 * FACTOR) == code, f"{args}: it ended with {node.process.returncode}")
            check(words in node.log(), f"{args}: the log does not say {words!r}")
        node.process = None


def start_with_nothing(mesh, *handed):
    """The coordinator, as the drop-in has it run: an ordinary user from the first moment, no capability within reach, and what
    sockets there are from somebody else. They get the numbers from 3 on."""
    node = mesh.nodes["coord"]
    script = f'LISTEN_PID=$$ LISTEN_FDS={len(handed)} exec "$@" ' + " ".join(f"{i}<&{s.fileno()}" for i, s in enumerate(handed, 3))
    with open(node.log_path, "ab") as log:
        node.process = mesh.lab.popen(
            "coord", ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--bounding-set", "-all", "--inh-caps",
                      "-all", "sh", "-c", script, "sh", PROGRAMS["warrend"], "-c", node.conf],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[s.fileno() for s in handed], env={**os.environ, **SANITIZERS})


def port_443_needs_no_right():
    nobody = pwd.getpwnam("nobody")
    with Mesh([Site("a", "tcp443")]) as mesh:
        node = mesh.nodes["coord"]
        node.control = f"{mesh.dir}/run/net.sock"
        with open(node.conf, "a") as f:
            f.write(f'control_socket = "{node.control}"\n')
        os.chmod(mesh.dir, 0o711)
        os.mkdir(f"{mesh.dir}/run", 0o755)
        for path in node.conf, f"{mesh.dir}/coord.key", f"{mesh.dir}/coord.state", f"{mesh.dir}/run":
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        start_with_nothing(mesh)
        check(node.process.wait(5 * FACTOR) == 77, f"without the socket it ended with {node.process.returncode}")
        check("TCP port 443: Permission denied (with warren@.socket systemd opens it)" in node.log(), "the log names no way out")

        with netns(mesh.lab.ns("coord")):
            listener = socket.create_server(("::", 443), family=socket.AF_INET6, dualstack_ipv6=True)
        with listener:
            start_with_nothing(mesh, listener)
            mesh.start("a1")
            mesh.wait_registered("a1", within=5)
            for status in rights(node.process.pid):
                check(int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0, f"it has the capabilities {status['CapPrm']}")
            check(node.ask("status")["listen"]["tcp"] == [443, 27700], f"it listens on {node.ask('status')['listen']}")
            check(mesh.ctl("coord", "reload").returncode == 0, "no reload")
            # Whoever connects while there is no coordinator only waits for the next.
            node.stop()
            begin = time.monotonic()
            with netns(mesh.lab.ns("a1")), socket.create_connection((mesh.lab.ip("coord"), 443), timeout=2) as early:
                start_with_nothing(mesh, listener)
                wait_until(node.ready, 3 * FACTOR, "the coordinator is back")
                early.shutdown(socket.SHUT_WR)
                check(early.recv(1) == b"", "what it said at last is no end")
            mesh.wait_registered("a1", within=5)
            print(f"  there again for a member after {time.monotonic() - begin:.1f} s")


def first_process_of_a_container_needs_one_capability():
    with mesh_of_two() as mesh:
        mesh.start("coord", "b1")
        node = mesh.nodes["a1"]
        with open(node.log_path, "ab") as log:
            node.process = mesh.lab.popen(
                "a1", ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "setpriv", "--bounding-set", "-all,+net_admin",
                       "--inh-caps", "-all", "--no-new-privs", PROGRAMS["warrend"], "-c", node.conf, "--user", "root"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **SANITIZERS})
        wait_until(node.ready, 3 * FACTOR, "it answers")
        check(mesh.ping("a1", "b1", 5) is not None, "no ping")
        with open(f"/proc/{node.process.pid}/task/{node.process.pid}/children") as f:
            pid, = map(int, f.read().split())
        for status in rights(pid):
            check(int(status["CapEff"], 16) == 1 << CAP_NET_ADMIN, f"it has the capabilities {status['CapEff']}")
            check(status["NSpid"].split()[-1:] != [status["NSpid"].split()[0]], "it has no processes of its own")
        os.kill(pid, signal.SIGTERM)  # which the kernel keeps from a first process that does not ask for it
        check(node.process.wait(5 * FACTOR) == 0, f"it ended with {node.process.returncode}")
        node.process = None


main(the_service_manager_is_told, root_becomes_an_ordinary_user, what_is_in_the_way_is_named, port_443_needs_no_right,
     first_process_of_a_container_needs_one_capability)
