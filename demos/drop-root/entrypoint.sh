#!/bin/sh
# As many official images have it: root gives the data to the service, and becomes the service.
set -e
if [ "$(id -u)" = 0 ]; then
  chown -R nobody data
  exec setpriv --reuid nobody --regid nogroup --clear-groups "$0" "$@"
fi
exec "$@"
