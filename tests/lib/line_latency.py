#!/usr/bin/python3
"""How long the lines of ticker.c take: reads them from stdin and prints the median in microseconds."""
import statistics
import sys
import time

late = []
for line in iter(sys.stdin.readline, ""):
    late.append(time.clock_gettime_ns(time.CLOCK_MONOTONIC) - int(line))
assert len(late) >= 100, f"only {len(late)} lines"
print(round(statistics.median(late) / 1000))
