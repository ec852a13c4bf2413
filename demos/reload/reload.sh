# The check of the second run: it is up, is told to reload, and has started another worker.
test -e run/up
if [ ! -e run/told ]; then
  kill -HUP "$(cat run/pid)"
  touch run/told
fi
test -e run/again
