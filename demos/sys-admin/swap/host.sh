# On the host, once: a swap area. It stays empty, and is gone when the demo ends.
case $1 in
  prepare) truncate -s 4M "$STATE/swap" && losetup "$LOOP" "$STATE/swap" && mkswap -q "$LOOP" ;;
  up) swapon "$LOOP" ;;
  down) swapoff "$LOOP" 2>/dev/null; losetup -d "$LOOP" ;;
esac
