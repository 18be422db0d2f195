#!/usr/bin/env python3
# ctest: timeout=60 beside
"""The laboratory is what the scenarios take it for: each kind of NAT maps and filters as its name says, events happen.

    inet -- coord (two addresses)
      |---- a site of every kind, with one or two hosts
"""
import os
import sys

from natlab.selftest import Selftest

if os.geteuid():
    print("needs root")
    sys.exit(77)
sys.exit(max(Selftest(group).run() for group in ("kinds", "cgn", "rebind")))
