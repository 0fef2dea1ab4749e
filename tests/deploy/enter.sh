#!/bin/sh
# Called in new namespaces: FOLDER AT RESTRICTION… -- COMMAND…
# Builds the file system that FOLDER/binds names under FOLDER/root, read-only, and becomes COMMAND in its folder AT.
set -eu
PATH=$PATH:/usr/sbin:/sbin
folder=$1
at=$2
shift 2
ip link set lo up
root=$folder/root
mount -t tmpfs -o mode=0755 none "$root"
mkdir "$root/proc" "$root/etc"
for name in passwd group nsswitch.conf resolv.conf hosts ssl pip.conf; do
    if [ -e "/etc/$name" ]; then cp -RL "/etc/$name" "$root/etc/"; fi
done
mount -t proc proc "$root/proc"
while read -r how source target; do
    mkdir -p "$root$(dirname "$target")"
    case $how in
    link) ln -s "$source" "$root$target" ;;
    *)
        if [ -d "$source" ]; then mkdir -p "$root$target"; else : >"$root$target"; fi
        mount --rbind "$source" "$root$target"
        if [ "$how" = ro ]; then mount -o remount,bind,ro "$root$target"; fi
        ;;
    esac
done <"$folder/binds"
mount -o remount,ro "$root"
exec chroot "$root" sh -c 'cd "$0" && exec setpriv "$@"' "$at" "$@"
