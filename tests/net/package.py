"""The Debian package of this build, and roots of their own to install it in

A root is that of this machine with all writes going elsewhere; WARREN_BARE_ROOT=1 has mmdebstrap make one that has nothing but what
Debian cannot be without and what the package depends on (half a minute more, and the network)."""
import contextlib
import os
import re
import shutil
import stat
import subprocess
import tempfile

from harness import BUILD, check, sh

NOT_OURS = re.compile(r"^(proc|sys|dev|tmp|run|var/(lib/(dpkg|apt|systemd)|cache|log|tmp)|etc/(passwd|group|shadow|gshadow|sub[ug]id)-?|"
                      r"etc/\.pwd\.lock|etc/ld\.so\.cache)(/|$)")


def run(*argv, ok=(0,), **kw):
    r = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, **kw)
    check(r.returncode in ok, f"{' '.join(argv)}: exit {r.returncode}\n{r.stdout}{r.stderr}")
    return r.stdout


class Package:
    """Built once for all cases."""
    directory = path = tarball = newer = None

    @classmethod
    def build(cls, *kinds):
        """All kinds of package that there are, or those of cpack's generators that are named."""
        if cls.path:
            return
        for program in "cpack", "lintian", "dpkg-deb", "systemd-analyze":
            check(shutil.which(program), f"there is no {program}: sh tests/install.sh package")
        cls.directory = tempfile.mkdtemp(prefix="warren-package-")
        run("cpack", "--config", f"{os.path.abspath(BUILD)}/CPackConfig.cmake", "-B", cls.directory,
            *(["-G", ";".join(kinds)] if kinds else []), cwd=cls.directory)
        for name in os.listdir(cls.directory):
            if re.fullmatch(r"warren_.*\.deb", name):
                cls.path = f"{cls.directory}/{name}"
            elif name.endswith(".tar.gz"):
                cls.tarball = f"{cls.directory}/{name}"
        check(cls.path and (cls.tarball or kinds), f"cpack made {os.listdir(cls.directory)}")
        cls.newer = cls.renumbered("9.9.9-1")

    @classmethod
    def renumbered(cls, version):
        """The same package, as a later version."""
        tree, path = f"{cls.directory}/newer", f"{cls.directory}/newer.deb"
        run("dpkg-deb", "-R", cls.path, tree)
        with open(f"{tree}/DEBIAN/control") as f:
            control = re.sub(r"(?m)^Version: .*$", f"Version: {version}", f.read())
        with open(f"{tree}/DEBIAN/control", "w") as f:
            f.write(control)
        run("dpkg-deb", "--root-owner-group", "-b", tree, path)
        return path

    @classmethod
    def remove(cls):
        if cls.directory:
            shutil.rmtree(cls.directory)


def base_root(with_systemd=False):
    """What a root shows before anything is written to it; a bare one is made once."""
    if not os.environ.get("WARREN_BARE_ROOT"):
        return "/"
    base = f"{Package.directory}/bare"
    if not os.path.exists(base):
        depends = {alternatives.split("|")[0 if with_systemd else -1].split("(")[0].strip()
                   for alternatives in run("dpkg-deb", "-f", Package.path, "Depends").split(",")}
        depends |= {"passwd", "iproute2"} if with_systemd else {"passwd"}  # iproute2: for who looks at it
        run("mmdebstrap", "--variant=essential", "--include=" + ",".join(sorted(depends)), "bookworm", base)
    return base


@contextlib.contextmanager
def root_of_its_own(with_systemd=False):
    """Yields the root, and the directory where to look for what was written to it. `with_systemd`: one that can be booted."""
    with tempfile.TemporaryDirectory(prefix="warren-root-") as d:
        root = f"{d}/root"
        try:
            base = base_root(with_systemd)
            sh("mount", "-t", "tmpfs", "tmpfs", d)
            for part in "upper", "work", "root":
                os.mkdir(f"{d}/{part}")
            sh("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={base},upperdir={d}/upper,workdir={d}/work", root)
            sh("mount", "-t", "proc", "proc", f"{root}/proc")
            yield root, f"{d}/upper"
        finally:
            for mount in f"{root}/proc", root, d:
                subprocess.run(["umount", "-l", mount], capture_output=True)


def in_root(root, *argv, ok=(0,)):
    return run("chroot", root, *argv, ok=ok, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
                                                 "DEBIAN_FRONTEND": "noninteractive"})


def files_of(root):
    """Of a root or a layer, but for what dpkg, logs and the like have of their own."""
    found = set()
    for directory, names, files in os.walk(root):
        at = os.path.relpath(directory, root)
        names[:] = [n for n in names if not NOT_OURS.match(os.path.normpath(f"{at}/{n}"))]
        # A character device in an overlay's layer stands for a file that is gone.
        found.update(os.path.normpath(f"{at}/{n}") for n in names + files
                     if not stat.S_ISCHR(os.lstat(f"{directory}/{n}").st_mode))
    return {name for name in found if not NOT_OURS.match(name)}
