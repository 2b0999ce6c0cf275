#!/usr/bin/python3
"""How long the lines of ticker.c take: reads them from stdin and prints the median in microseconds."""
import statistics
import sys
import time

start = time.monotonic_ns()
late = []
for line in iter(sys.stdin.readline, ""):
    if int(line) > start:  # what was written before waited for this reader
        late.append(time.monotonic_ns() - int(line))
assert len(late) >= 100, f"only {len(late)} lines"
print(round(statistics.median(late) / 1000))
