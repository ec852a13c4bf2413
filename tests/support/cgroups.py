"""Control groups that tests make for a systemd of their own."""

REMOVE_CGROUP = """\
mount --make-rprivate / && mount -t cgroup2 cgroup2 /mnt
for i in 1 2 3 4 5 6 7 8 9; do
  [ -d /mnt/$NAME ] || exit 0
  find /mnt/$NAME -depth -type d -exec rmdir {} + 2>/dev/null; sleep 0.2
done
exit 1
"""
"""For ``sh -c`` in mounts of its own. It removes the group ``NAME`` and those below it; what ran
there may take a moment to end."""
