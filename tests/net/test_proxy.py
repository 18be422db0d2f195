#!/usr/bin/env python3
# ctest: timeout=180 beside
"""Where only an HTTP proxy gets out, traffic passes within 5 s through it; and what is wrong with a proxy is said, and waited out.

    coord  tcp 27700, 443
      |
    inet ---- [only a2 gets out] ---- a2  tinyproxy, or something that passes for a proxy
        |                        `--- a1
        `---- b1
"""
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading

from harness import Mesh, Site, check, main, netns, nft, wait_until

PORT = 3128


class Tinyproxy:
    def __init__(self, mesh, ports=(443, 27700), login=None):
        self.mesh, self.conf, self.process = mesh, f"{mesh.dir}/tinyproxy.conf", None
        lines = [f"Port {PORT}", f"Listen {mesh.lab.ip('a2')}", "Timeout 600", "MaxClients 20", f"Allow {mesh.lab.ip('a1')}"]
        lines += [f"ConnectPort {p}" for p in ports] + ([f"BasicAuth {login[0]} {login[1]}"] if login else [])
        with open(self.conf, "w") as f:
            f.write("\n".join(lines) + "\n")

    def __enter__(self):
        self.process = self.mesh.lab.popen("a2", ["tinyproxy", "-d", "-c", self.conf], stdin=subprocess.DEVNULL,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.listens, 5, "tinyproxy listens")
        return self

    def listens(self):
        with netns(self.mesh.lab.ns("a2")), socket.socket() as s:
            return s.connect_ex((self.mesh.lab.ip("a2"), PORT)) == 0

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()


class Pretender:
    """Takes every connection on the proxy's port, and answers it with some bytes, or not at all."""

    def __init__(self, mesh, answer=b""):
        with netns(mesh.lab.ns("a2")):
            self.listener = socket.create_server((mesh.lab.ip("a2"), PORT))
        self.answer, self.clients, self.heard = answer, [], []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for s in [self.listener, *self.clients]:
            s.close()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                self.clients.append(client)
                with contextlib.suppress(OSError):
                    self.serve(client)

    def serve(self, client):
        self.heard.append(client.recv(4096))
        client.sendall(self.answer)


class NameProxy(Pretender):
    """Knows the coordinator by a name that nobody else does."""

    def __init__(self, mesh, name):
        super().__init__(mesh, b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.lab, self.name, self.to = mesh.lab, name, (mesh.lab.ip("coord"), 27700)

    def serve(self, client):
        self.heard.append(client.recv(4096))
        if not self.heard[-1].startswith(b"CONNECT " + self.name + b":27700 HTTP/1.1\r\n"):
            client.close()
            return
        coordinator = self.lab.socket("a2", type=socket.SOCK_STREAM)
        coordinator.setblocking(True)
        coordinator.connect(self.to)
        self.clients.append(coordinator)
        client.sendall(self.answer)
        for a, b in ((client, coordinator), (coordinator, client)):
            threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)


def laboratory():
    return Mesh([Site("a", "port", hosts=2), Site("b", "port")])


def only_the_proxy_gets_out(mesh):
    nft(mesh.lab.gw("a"), f"table inet only_proxy {{ chain forward {{ type filter hook forward priority -1; policy accept;\n"
        f"iifname lan udp dport 53 reject\nip saddr != {mesh.lab.ip('a2')} iifname lan drop\nip saddr {mesh.lab.ip('a2')} meta l4proto != tcp drop\n}}\n}}\n")


def configure(mesh, login=None):
    extra = f'proxy = "http://{mesh.lab.ip("a2")}:{PORT}"\n'
    if login is not None:
        path = f"{mesh.dir}/a1.login"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(login + "\n")
        extra += f'proxy_auth_file = "{path}"\n'
    mesh.configure_peer("a1", extra)


def reload(mesh):
    r = mesh.ctl("a1", "reload")
    check(r.returncode == 0, f"reload: {r.returncode} {r.stderr}")


def restart(mesh):
    mesh.nodes["a1"].stop()
    mesh.start("a1")


def coordinator(mesh):
    return mesh.nodes["a1"].ask("status")["coordinators"][0]


def wait_error(mesh, words, within):
    """Until status names that error of the proxy; netcheck and the log have it too."""
    wait_until(lambda: words in (coordinator(mesh)["proxy"]["error"] or ""), within,
               f"status says of the proxy that it {words}")
    check(f"it {words}" in mesh.ctl("a1", "netcheck").stdout, mesh.ctl("a1", "netcheck").stdout)
    status = mesh.ctl("a1", "status").stdout
    check(any(line.startswith("! the proxy ") and words in line for line in status.splitlines()), status)
    check(mesh.nodes["a1"].log().count(words) == 1, f"the log does not say once: {words}")


def wait_connected(mesh, within):
    wait_until(lambda: coordinator(mesh)["state"] == "connected" and coordinator(mesh)["proxy"]["in_use"], within,
               "a1 is connected through the proxy")


def traffic_passes_within_5_s():
    with laboratory() as mesh:
        only_the_proxy_gets_out(mesh)
        mesh.start("coord", "b1", "a1")
        check(mesh.ping("a1", "b1", 1) is None, "a1 gets out without the proxy")
        mesh.nodes["a1"].stop()
        configure(mesh, "warren:sesame")
        with Tinyproxy(mesh, login=("warren", "sesame")) as proxy:
            mesh.start("a1", wait=False)
            took = mesh.ping("a1", "b1", 5 + 2)
            check(took is not None and took < 5, f"the first ping was answered after {took} s")
            path = mesh.path("a1", "b1")
            check(path["kind"] == "relay" and path["transport"] == "tcp", f"a1's path is {path}")
            entry = coordinator(mesh)
            check(entry["proxy"] == {"endpoint": f"http://{mesh.lab.ip('a2')}:{PORT}", "in_use": True, "error": None}, f"{entry}")
            check(", through the proxy" in mesh.ctl("a1", "status").stdout, mesh.ctl("a1", "status").stdout)
            check("proxy         http://" in mesh.ctl("a1", "netcheck").stdout, mesh.ctl("a1", "netcheck").stdout)
            wait_until(lambda: mesh.ctl_json("a1", "why", "b1")["cause"] == "udp-blocked", 8,
                       f"why: {mesh.ctl_json('a1', 'why', 'b1')}")
            with mesh.transfer("b1", "a1", mbit=5) as transfer:
                while transfer.got < 500_000 and not transfer.error:
                    check(transfer.longest_stall() < 5, "a transfer through the proxy stalled")
                transfer.finish()
            # It dies in the middle, with all its connections, and comes back.
            proxy.process.kill()
            proxy.process.wait()
            wait_until(lambda: coordinator(mesh)["state"] != "connected", 3, "the loss is seen")
            wait_error(mesh, "cannot be connected to: connection refused", 3)
        with Tinyproxy(mesh, login=("warren", "sesame")):
            wait_connected(mesh, 12)
            check(mesh.ping("a1", "b1", 5) is not None, "no traffic after the proxy came back")
            # Where there is a way without it, that one is taken.
            nft(mesh.lab.gw("a"), "delete table inet only_proxy")
            mesh.nodes["a1"].stop()
            mesh.start("a1")
            wait_until(lambda: coordinator(mesh)["state"] == "connected", 3, "a1 is connected")
            check(not coordinator(mesh)["proxy"]["in_use"], "the proxy is used although it is not needed")


def what_is_wrong_is_said_and_waited_out():
    with laboratory() as mesh:
        only_the_proxy_gets_out(mesh)
        configure(mesh)
        mesh.start("coord", "b1")
        with Tinyproxy(mesh, login=("warren", "sesame")):
            mesh.start("a1")
            wait_error(mesh, "wants a user and a password: name the file", 3)
            configure(mesh, "warren:guess")
            reload(mesh)
            wait_error(mesh, "takes our user or password for wrong", 3)
            configure(mesh, "no colon")
            check(mesh.ctl("a1", "reload").returncode == 78, "a file that holds no login is taken")
            configure(mesh, "warren:sesame")
            reload(mesh)
            wait_connected(mesh, 3)
        configure(mesh)
        with Tinyproxy(mesh, ports=(8080,)):
            restart(mesh)
            wait_error(mesh, "refuses connections to port 27700 (HTTP 403): allow", 3)
        with Pretender(mesh, b"220 mail.example.net ESMTP\r\n"):
            restart(mesh)
            wait_error(mesh, "does not speak HTTP", 3)
        with Pretender(mesh) as silent:
            restart(mesh)
            wait_error(mesh, "takes the connection and does not answer", 6)
            check(all(h.startswith(b"CONNECT ") and h.endswith(b"\r\n\r\n") for h in silent.heard), f"it heard {silent.heard}")
        with Tinyproxy(mesh, ports=(443,)):  # what most of them allow
            wait_connected(mesh, 15)
            check(mesh.ping("a1", "b1", 5) is not None, "no traffic")


def a_coordinators_name_is_the_proxys_to_resolve():
    with laboratory() as mesh:
        only_the_proxy_gets_out(mesh)
        configure(mesh)
        conf = mesh.nodes["a1"].conf
        with open(conf) as f:
            text = f.read()
        with open(conf, "w") as f:
            f.write(text.replace(f'"{mesh.lab.ip("coord")}:27700"', '"c1.example.invalid:27700"'))
        mesh.start("coord", "b1")
        with NameProxy(mesh, b"c1.example.invalid"):
            mesh.start("a1")
            wait_connected(mesh, 5)
            check(mesh.ping("a1", "b1", 5) is not None, "no traffic")
            # There is no server to ask whether UDP passes: as far as can be known it does not.
            why = mesh.ctl_json("a1", "why", "b1")
            check(why["cause"] == "udp-blocked" and why["here"]["udp"] == "blocked", f"why: {why}")
            mesh.nodes["a1"].stop()


if not shutil.which("tinyproxy", path="/usr/sbin:/usr/bin"):
    print("skipped: no tinyproxy")
    sys.exit(77)
main(traffic_passes_within_5_s, what_is_wrong_is_said_and_waited_out, a_coordinators_name_is_the_proxys_to_resolve)
