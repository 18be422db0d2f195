"""What warren.conf(5) says, for scenarios that try every key"""
import os
import re

from harness import check

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../daemon/config/warren.conf.5")


def keys(marks, at_least):
    """{(section, key)} of the keys with one of these marks; so many there are, or the manual was not understood."""
    found, section = set(), ""
    with open(PATH) as f:
        for line in f:
            words = line.split()
            if line.startswith((".Sh", ".Ss")):
                section = words[2] if words[1] == "Section" else ""
            elif re.match(rf"\.It Ic \w+ Pq Em ({'|'.join(marks)})", line):
                found.add((section, words[2]))
    check(len(found) >= at_least, f"{PATH} was not understood: {found}")
    return found
