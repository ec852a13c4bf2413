# On the host, once: the same mount, for the container to look into.
case $1 in
  up) fuse-overlayfs -o lowerdir="$PWD",upperdir="$STATE/upper",workdir="$STATE/work" "$SHARED" 2>/dev/null ;;
  down) umount "$SHARED" 2>/dev/null ;;
esac
