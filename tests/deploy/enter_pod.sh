#!/bin/sh
# Called in new namespaces: FOLDER RESTRICTION… -- COMMAND…
# Builds the file system that FOLDER/binds names under FOLDER/root, read-only, and becomes COMMAND in it.
set -eu
folder=$1
shift
/usr/sbin/ip link set lo up
root=$folder/root
mount -t tmpfs -o mode=0755 none "$root"
mkdir "$root/proc" "$root/etc"
cp /etc/passwd /etc/group /etc/nsswitch.conf "$root/etc/" 2>/dev/null || true
mount -t proc proc "$root/proc"
while read -r how source target; do
    mkdir -p "$root$(dirname "$target")"
    case $how in
    link) ln -s "$source" "$root$target" ;;
    *)
        mkdir -p "$root$target"
        mount --rbind "$source" "$root$target"
        if [ "$how" = ro ]; then mount -o remount,bind,ro "$root$target"; fi
        ;;
    esac
done <"$folder/binds"
mount -o remount,ro "$root"
cd /
exec /usr/sbin/chroot "$root" setpriv "$@"
