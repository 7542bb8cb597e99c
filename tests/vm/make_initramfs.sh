#!/bin/bash
# make_initramfs.sh KERNEL_ROOT OUTPUT: an initramfs of busybox and the modules that mount the machine's own root by 9p, read-only,
# below a tmpfs. KERNEL_ROOT is an unpacked linux-image package for which depmod has run.
set -euo pipefail
kernel_root=$1 output=$2
version=$(ls "$kernel_root/lib/modules")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,proc,sys,dev,lower,upper,whole,modules}
cp "$(command -v busybox)" "$root/bin/busybox"
for name in sh mount insmod mkdir switch_root poweroff; do ln -s busybox "$root/bin/$name"; done
number=0
for module in virtio_pci 9pnet_virtio 9p overlay; do
  modprobe -d "$kernel_root" -S "$version" --show-depends "$module" 2>/dev/null
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
  number=$((number + 1))
  cp "$file" "$root/modules/$(printf %02d "$number")-$(basename "$file")"
done
cat >"$root/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro machine /lower || poweroff -f
mount -t tmpfs -o size=75% tmpfs /upper
mkdir /upper/changed /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/changed,workdir=/upper/work overlay /whole || poweroff -f
for folder in proc sys dev; do mount -o move "/$folder" "/whole/$folder"; done
read -r line </whole/proc/cmdline
for word in $line; do case $word in guest=*) guest=${word#guest=} ;; esac; done
exec switch_root /whole /bin/bash "$guest"
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1 >"$output")
