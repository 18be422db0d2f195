"""Two public hosts with a direct path, and commands that go on in one of them

    coord
      |
    inet ---- a1, b1"""
import subprocess

from harness import FACTOR, Mesh, PROGRAMS, Site, check


def mesh_of_two():
    return Mesh([Site("a", "open"), Site("b", "open")])


def start(mesh, extra=""):
    """Until a1, which has further lines in its file, reaches b1 directly."""
    mesh.configure_peer("a1", extra)
    mesh.start("coord", "a1", "b1")
    check(mesh.ping("a1", "b1", 5) is not None, "no ping")
    mesh.wait_path("a1", "b1", "direct", within=5)


def ctl(mesh, host, *argv, **kw):
    """warrenctl, while it runs, in the host."""
    return mesh.lab.popen(host, [PROGRAMS["warrenctl"], "-s", mesh.nodes[host].control, *argv], **kw)


def ended(process, what, within=5):
    try:
        return process.wait(within * FACTOR)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"{what} does not end") from None
