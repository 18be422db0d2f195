#!/usr/bin/env python3
# ctest: timeout=90
"""The control socket of a peer: it answers promptly again after a coordinator refused a question, and says what a reload did.

    coord
      |
    inet ---- a1, b1   public hosts
"""
import time

from harness import FACTOR, Mesh, Site, check, main, wait_until


def mesh_of_two():
    return Mesh([Site("a", "open"), Site("b", "open")])


def a_refused_page_is_asked_for_again():
    """Each `peers` asks the coordinator for the member list; it refuses those who ask too fast, and says nothing."""
    with mesh_of_two() as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        before = mesh.counter("coord", "control_rate_limited")
        deadline = time.monotonic() + 20 * FACTOR
        while mesh.counter("coord", "control_rate_limited") == before:
            check(time.monotonic() < deadline, "the coordinator refused nothing")
            for _ in range(200):
                mesh.nodes["a1"].ask("peers")

        def answers_at_once():
            start = time.monotonic()
            mesh.nodes["a1"].ask("peers")
            return time.monotonic() - start < 0.3

        wait_until(answers_at_once, 5, "a1 hears from the coordinator again")


main(a_refused_page_is_asked_for_again)
