#!/bin/sh
# As supervisord or s6: root looks after a worker that is somebody else, and restarts it on SIGHUP.
start() {
  setpriv --reuid nobody --regid nogroup --clear-groups sh -c 'touch run/up; exec sleep 1000' &
}
trap 'kill $!; wait $!; rm run/up; start; touch run/again' HUP
echo $$ >run/pid
start
while :; do wait; done
