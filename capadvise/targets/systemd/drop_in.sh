# Undoes a drop-in.
#
# `reset-failed` also forgets the number of starts. A pending connection starts a stopped service
# again through its socket. systemd gives up a socket whose service keeps failing, and does not start
# it while its service runs.
before=$1 unit=$2 drop_in=$3 note=$4
shift 4
rm -f -- "$drop_in"
rmdir -- "${drop_in%/*}" 2>/dev/null
systemctl daemon-reload
ended=0
case $before in
inactive | failed)
  systemctl stop -- "$unit" || ended=$?
  for again in ${1:+1 2 3 4 5}; do
    sleep 0.2
    case $(systemctl is-active -- "$unit") in inactive | failed) break ;; esac
    systemctl stop -- "$unit"
  done
  ;;
esac
[ "$before" = failed ] || systemctl reset-failed -- "$unit" 2>/dev/null
for activator; do
  systemctl is-active --quiet -- "$activator" && continue
  systemctl stop -- "$unit"
  systemctl reset-failed -- "$activator" 2>/dev/null
  systemctl start -- "$activator" || ended=$?
done
case $before in
inactive | failed) : ;;
*) systemctl restart -- "$unit" || ended=$? ;;
esac
rm -f -- "$note"
exit $ended
