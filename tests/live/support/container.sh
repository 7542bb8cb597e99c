#!/bin/bash
# container.sh ROOT NAMESPACE: boots systemd below the folder ROOT as the first process of a container: its own processes, mounts,
# cgroups (NAMESPACE is the name of its cgroup, too), host name and /dev; its network is that of network namespace NAMESPACE. /sys and
# what in /proc is the whole machine's are read-only.
set -eu
root=$1 namespace=$2
cgroups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$cgroups" ] || { echo "no cgroup2 file system is mounted" >&2; exit 1; }
mkdir "$cgroups/$namespace"
echo $$ >"$cgroups/$namespace/cgroup.procs"
# shellcheck disable=SC2016
exec ip netns exec "$namespace" unshare --cgroup --mount --pid --ipc --uts --fork --kill-child --propagation private /bin/sh -euc '
  cd "$1"
  mount --bind . .
  cd "$1"
  mount -t proc proc proc
  for name in sys sysrq-trigger irq bus; do
    if [ -e proc/$name ]; then
      mount --bind proc/$name proc/$name
      mount -o remount,bind,ro proc/$name
    fi
  done
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t tmpfs tmpfs run
  mount -t tmpfs -o mode=755 tmpfs dev
  for name in null zero full random urandom tty; do
    touch "dev/$name"
    mount --bind "/dev/$name" "dev/$name"
  done
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  mount -t tmpfs tmpfs dev/shm
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  hostname "$2"
  mkdir -p mnt
  pivot_root . mnt
  exec chroot . /bin/sh -c "umount -l /mnt; exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd"
' container "$root" "$namespace"
