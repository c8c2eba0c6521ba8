"""A real Linux kernel with a live cpufreq driver, booted under QEMU for the system tests (see docs/rig.md)."""
