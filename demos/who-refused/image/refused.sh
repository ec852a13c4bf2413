# Each of these is answered with "Operation not permitted" or "Permission denied".
while sleep 0.3; do
  hostname other
  unshare --user true
  chown 5 /data/mine
  cat /data/private
  echo x >>/settings/file
done 2>/dev/null
