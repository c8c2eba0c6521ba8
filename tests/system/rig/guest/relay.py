"""Guest end of the planner's line: stdin → the virtio-serial port `hwtune.planner` → stdout, in whole lines.

This is the guest's HWTUNE_PLANNER_COMMAND, so to the program that starts it, it *is* the planner. Ends at the end of
stdin, or with status 1 when the host says that its planner has ended. Started with -I -S: imports are slow here.
"""

import glob
import os
import select
import sys

PORT_NAME = "hwtune.planner"


def port_path() -> str:
    """The port's device; there is no udev here that would link it into /dev/virtio-ports."""
    for path in glob.glob("/sys/class/virtio-ports/*/name"):
        with open(path) as file:
            if file.read().strip() == PORT_NAME:
                return "/dev/" + path.split("/")[-2]
    sys.exit(f"relay: this machine has no port {PORT_NAME}")


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def main() -> int:
    port = os.open(port_path(), os.O_RDWR)
    # A relay that was killed may have left half a line on the way out, and answers to it on the way in: the newline
    # ends the first, and everything before the host's echo of this greeting is dropped.
    greeting = f'{{"rig": "hello", "from": {os.getpid()}}}'.encode()
    write_all(port, b"\n" + greeting + b"\n")
    greeted = False
    pending = b""
    while True:
        ready = select.select([0, port] if greeted else [port], [], [])[0]
        if port in ready:
            *lines, pending = (pending + os.read(port, 65536)).split(b"\n")
            for line in lines:
                if not greeted:
                    greeted = line == greeting
                elif line == b'{"rig": "closed"}':
                    sys.stderr.write("relay: the planner on the host has ended\n")
                    return 1
                else:
                    write_all(1, line + b"\n")
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return 0
            write_all(port, data)


if __name__ == "__main__":
    sys.exit(main())
