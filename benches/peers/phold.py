"""PHOLD on Python's heapq: a constant population, each event schedules one more after an exponential delay.

Delays are drawn before the clock runs, as in the other peers. Prints events per second for each population.
"""

import heapq
import random
import sys
import time

EVENTS = 1_000_000
DELAYS = 1 << 16


def phold(pending: int, events: int) -> float:
    """Events per second."""
    draw = random.Random(1)
    delays = [int(draw.expovariate(1.0) * 1e9) for _ in range(DELAYS)]
    heap = [(int(draw.expovariate(1.0) * 1e9), source) for source in range(pending)]
    heapq.heapify(heap)
    begun = time.perf_counter()
    for event in range(events):
        at, source = heap[0]
        # The cheapest that Python has: pop and push in one.
        heapq.heapreplace(heap, (at + delays[event & (DELAYS - 1)], source))
    return events / (time.perf_counter() - begun)


if __name__ == "__main__":
    for pending in map(int, sys.argv[1:] or ["1000", "100000"]):
        print(f"heapq (Python {sys.version.split()[0]}), {pending} pending: {phold(pending, EVENTS):,.0f} events/s")
