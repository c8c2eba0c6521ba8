"""The only door to the kernel: files, counters, clock, processes."""
