#!/bin/bash
# Runs a user's systemd in a world of its own: `systemd-user-up.sh HOME`, inside `unshare -m -C`.
# The manager wants a booted system, a runtime directory and a cgroup tree whose root it may call its own.
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0
chmod 700 /run/user/0
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export XDG_RUNTIME_DIR=/run/user/0 HOME="$1"
mkdir -p "$HOME/.config/systemd/user"
unset INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET DBUS_SESSION_BUS_ADDRESS
exec /lib/systemd/systemd --user --log-level=info --log-target=console --show-status=0
