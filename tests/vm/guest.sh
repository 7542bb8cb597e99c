#!/bin/bash
# The first process of the virtual machine: makes the machine usable, runs what JOB lists (words: BACK_END SUITE...), one line for
# each on the console, and turns it off. The machine's own files are below an overlay: nothing that happens here reaches them.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
argument() { tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p"; }
project=$(argument project) kernel_root=$(argument kernel)
out=/run/out
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
chmod 1777 /tmp
mkdir -p /dev/pts /dev/shm /run/netns /run/lock "$out"
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
chmod 1777 /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t 9p -o trans=virtio,version=9p2000.L out "$out"
mkdir -p "/lib/modules/$(uname -r)"
mount --bind "$kernel_root/lib/modules/$(uname -r)" "/lib/modules/$(uname -r)"
# What udev would do: the device of tunnels.
modprobe tun
ip link set lo up
hostname stock
read -r back_end suites <"$out/job"
# The other back end is taken away, here alone: each program that asks for iptables gets this one.
case $back_end in
  nft) rm -f /usr/sbin/*tables-legacy* /usr/sbin/xtables-legacy-multi ;;
  legacy) rm -f /usr/sbin/*tables-nft* /usr/sbin/xtables-nft-multi ;;
esac
for name in iptables ip6tables; do
  for action in "" -save -restore; do ln -sfn "/usr/sbin/$name-$back_end$action" "/etc/alternatives/$name$action"; done
done
echo
echo "GUEST $(uname -r) $(iptables --version) $(cut -d' ' -f1 /proc/uptime)"
cd "$project" || exit
for suite in $suites; do
  begun=$SECONDS
  SALLYPORT=$project/build/sallyport PYTHONDONTWRITEBYTECODE=1 SALLYPORT_PATIENCE=6 SALLYPORT_CONNTRACK_FACTS=1 \
    timeout 3600 python3 -B "tests/live/test_$suite.py" >"$out/$back_end-$suite.log" 2>&1 </dev/null
  echo "SUITE $back_end $suite $? $((SECONDS - begun))"
done
sync
echo o >/proc/sysrq-trigger
sleep 60
