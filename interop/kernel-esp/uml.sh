#!/bin/bash
# uml.sh NETNS TAP: boots the user-mode Linux of the folder $PEERS (default ~/peers) as one process inside NETNS, with TAP as its vec0: a real
#   kernel's ESP where the machine has none. Each line on stdin is a shell command run in it, answered by its output and "@@ STATUS";
#   "poweroff" ends it. Its root is the folder, with this one as /mnt.
# Needs: root, interop/setup, and TAP made beforehand (ip -n NETNS tuntap add TAP mode tap). Time: boots in 1 s, 512 MB.
ns=$1 tap=$2 here=$(cd "$(dirname "$0")" && pwd) peers=${PEERS:-$HOME/peers}
exec ip netns exec "$ns" unshare -m bash -c '
  mount --bind /dev "$0/dev"; mount -t proc proc "$0/proc"; mount -t tmpfs tmpfs "$0/tmp"; mount --bind "$1" "$0/mnt"
  exec chroot "$0" /usr/bin/linux.uml mem=512M rootfstype=hostfs rootflags=/ rw init=/mnt/uml-init con=null con0=fd:0,fd:1 quiet "$2"' \
  "$peers" "$here" "vec0:transport=tap,ifname=$tap,depth=64,gro=0"
