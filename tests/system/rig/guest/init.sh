#!/bin/busybox sh
# /init of the rig's initramfs: to the root file system, then PID 1 from there.
# From the kernel's command line, with blanks written as \040:
#   rig.root=host      the host's root over 9p (read-only) under a tmpfs overlay
#   rig.root=memory    what is in the initramfs: it survives suspend to RAM, which resets the 9p device
#   rig.modules=DIR    folder of the host that holds /lib/modules of this kernel
#   rig.python=PATH    interpreter for the agent        rig.agent=PATH  the agent, PID 1 of the guest
#   rig.out=DIR        optional: a folder of the host that is writable at the same path
B=/bin/busybox
set -f
die() { echo "rig: $*"; $B poweroff -f; }

$B mkdir -p /proc /sys /dev /lower /rw /root
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t devtmpfs devtmpfs /dev
for word in $($B cat /proc/cmdline); do
    value=$($B printf '%b' "${word#*=}")
    case $word in
        rig.root=*) root=$value ;;
        rig.modules=*) modules=$value ;;
        rig.python=*) python=$value ;;
        rig.agent=*) agent=$value ;;
        rig.out=*) out=$value ;;
    esac
done
for module in $($B cat /modules/order); do
    $B insmod "/modules/$module" || echo "rig: insmod $module failed"
done

if [ "$root" = memory ]; then
    at=
    $B mkdir -p /run /tmp /var/lib
    $B --install -s /bin
else
    at=/root
    # cache=loose: the host's files do not change while a guest looks at them, and each uncached look costs a round trip
    $B mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 hostroot /lower || die "no 9p root"
    $B mount -t tmpfs -o size=80%,mode=755 tmpfs /rw
    $B mkdir /rw/upper /rw/work
    $B mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work overlay /root || die "no overlay"

    $B rm -f /root/.dockerenv           # a container's mark on the host would be taken for the guest's
    $B rm -rf /root/var/lib/hwtune      # what the host has learned of itself is not the guest's
    $B rm -rf /root/lib/modules
    $B ln -s "$modules" /root/lib/modules
    $B mount -t tmpfs -o mode=755 tmpfs /root/run
    for folder in proc sys dev; do
        $B mkdir -p /root/$folder
        $B mount --move /$folder /root/$folder
    done
fi
$B mkdir -p $at/dev/pts $at/dev/shm $at/run/lock
$B mount -t devpts devpts $at/dev/pts
$B mount -t tmpfs tmpfs $at/dev/shm
$B mount -t cgroup2 cgroup2 $at/sys/fs/cgroup
if [ -n "$out" ]; then
    $B mkdir -p "$at$out"
    $B mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 out "$at$out" || die "no 9p folder for $out"
fi
$B hostname hwtune-rig
# from here on the console gets everything: the kernel prints the stacks of hung tasks below the level of a warning
echo 8 >$at/proc/sys/kernel/printk
$B ip link set lo up
if [ "$root" = memory ]; then
    exec "$python" -I -S "$agent"
fi
exec $B switch_root /root "$python" -I -S "$agent"
