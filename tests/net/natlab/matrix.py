"""What hole punching can do for each pair of kinds"""
from .lab import Lab
from .probe import Probe, punch, spray, tcp_punch
from .sites import KINDS, Site


def matrix():
    kinds = [k for k in KINDS if k not in ("tcp443", "one2one")]
    names = {k: chr(97 + i) for i, k in enumerate(kinds)}
    sites = [Site(n * r, k, hosts=1) for k, n in names.items() for r in (2, 3)]
    with Lab(sites) as lab:
        pr = Probe(lab)
        print("UDP punching, both sides at once.  P plain, S with the next 8 ports predicted,"
              "\nB birthday (256 sockets, 1024 probes), - none of these")
        print(" " * 11 + "".join(f"{k:>11}" for k in kinds))
        for i, k in enumerate(kinds):
            row = []
            for l in kinds[:i + 1]:
                a, b = names[k] * 2 + "1", names[l] * 3 + "1"
                how = "-"
                if "udpblocked" not in (k, l):
                    if punch(lab, pr, a, b, 0.3):
                        how = "P"
                    elif "symseq" in (k, l) and punch(
                            lab, pr, a, b, 0.3, [8 * (x == "symseq") for x in (k, l)]):
                        how = "S"
                    else:
                        sym = [x.startswith("sym") for x in (k, l)]
                        if sym.count(True) == 1:
                            r = spray(lab, pr, *((a, b) if sym[0] else (b, a)))
                            how = f"B {r[0]}" if r else "-"
                row.append(how)
            print(f"{k:11}" + "".join(f"{r:>11}" for r in row), flush=True)
        print("\nTCP simultaneous open")
        for k, l in (("port", "port"), ("port", "fullcone"), ("portnp", "portnp"), ("port", "symrand"),
                     ("openfw", "port"), ("udpblocked", "port"), ("udpblocked", "udpblocked")):
            print(f"  {k} x {l}: {tcp_punch(lab, names[k] * 2 + '1', names[l] * 3 + '1')}")
        print("\nbirthday, symrand against port, 5 runs of (probes, seconds):")
        print("  ", [spray(lab, pr, names["symrand"] * 2 + "1", names["port"] * 3 + "1") for _ in range(5)])
