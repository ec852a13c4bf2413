# Undoes a drop-in.
#
# `reset-failed` also forgets the number of starts. A pending connection starts a stopped service
# again through its socket. systemd gives up a socket whose service keeps failing, and does not start
# it while its service runs.
#
# The neighbours are down while the unit is restarted: systemd would restart them with it, and with
# them what they require, which an administrator may have stopped.
before=$1 unit=$2 drop_in=$3 note=$4 stop=$5 start=$6
shift 6
[ -e "$note" ] || exit 0
rm -f -- "$drop_in"
rmdir -- "${drop_in%/*}" 2>/dev/null
systemctl daemon-reload
ended=0
[ -z "$stop" ] || systemctl stop -- $stop
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
activating) systemctl restart --no-block -- "$unit" || ended=$? ;; # perhaps it fails again and again
*) systemctl restart -- "$unit" || ended=$? ;;
esac
if [ -n "$start" ]; then
  systemctl reset-failed -- $start 2>/dev/null
  systemctl start --job-mode=ignore-requirements -- $start || ended=$?
fi
rm -f -- "$note"
exit $ended
