"""python3 tests/net/natlab: the command line, wherever it is called from"""
import os
import sys

if not __package__:
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from natlab.cli import main  # noqa: E402

try:
    sys.exit(main(sys.argv[1:]))
except (ValueError, RuntimeError, PermissionError) as e:
    sys.exit(f"natlab: {e}")
