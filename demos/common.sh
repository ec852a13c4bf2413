# What the scripts of the demos have in common; each sources it and calls `begin` first.
#
# A demo works in a scratch folder, which is gone afterwards, and changes nothing else here. With a
# folder as its argument it works in that one and leaves there what it made: reports, patched files.
set -euo pipefail
demo=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$demo/../.." && pwd)
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin # everybody may read these

begin() { # begin [--net] PACKAGE… -- ARGUMENTS-OF-THE-SCRIPT; --net: in a network of its own
  local net= needed=()
  if [ "$1" = --net ]; then net=1 && shift; fi
  while [ "$1" != -- ]; do needed+=("$1") && shift; done
  shift
  [ -z "$net" ] || needed+=(iproute2)
  [ -n "${DEMO_NET:-}" ] || installed "${needed[@]}" # as who called: .venv is theirs
  [ "$(id -u)" = 0 ] || exec sudo "$0" "$@"
  if [ -n "$net" ] && [ -z "${DEMO_NET:-}" ]; then # a port of this machine may be taken
    DEMO_NET=1 exec unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$0" "$@"
  fi
  trap 'exit 130' INT # a command that heeds Ctrl-C and ends well would let the script go on
  work=${1:-}
  if [ -z "$work" ]; then
    work=$(mktemp -d)
    chmod 755 "$work"
    trap 'end; rm -rf "$work"' EXIT
  else
    mkdir -p "$work"
    trap end EXIT
  fi
  cd "$work"
}

end() { :; } # a demo that starts something puts its own in the place of this

installed() { # what is missing of these Debian packages, and capadvise; an engine is your choice
  local name missing=()
  for name in "$@"; do
    case $name in
      docker) as_root docker info >/dev/null 2>&1 || lacking docker ;;
      compose) as_root docker compose version >/dev/null 2>&1 || lacking "docker compose" ;;
      *) dpkg -s "$name" >/dev/null 2>&1 || missing+=("$name") ;;
    esac
  done
  if [ ! -x "$top/.venv/bin/capadvise" ] || [ ${#missing[@]} -gt 0 ]; then
    "$top/.ci/setup" "${missing[@]}"
  fi
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

lacking() {
  echo "this demo needs $1, and it does not answer here" >&2
  exit 3
}

capadvise() { "$top/.venv/bin/capadvise" "$@"; }

show() { # a command as one would type it, then what it prints
  local status=0
  printf '\n$ %s\n' "$1"
  eval "$1" </dev/null 2>&1 || status=$?
  case $status in
    0 | 143) ;; # 143: ended by its check
    *) echo "exit code $status" ;;
  esac
}

image() { # image NAME FOLDER PROGRAM…: these programs of this machine with their libraries, and
  # what is in FOLDER: a registry is not needed
  local name=$1 folder=$2 root file
  shift 2
  if docker image inspect "$name" >/dev/null 2>&1; then return; fi
  root=$(mktemp -d)
  mkdir -p "$root"/{usr/bin,usr/sbin,usr/lib,usr/lib64,etc,dev,proc,sys,run,tmp,data,var/log/nginx}
  chmod 755 "$root" && chmod 1777 "$root/tmp"
  for file in bin sbin lib lib64; do ln -s "usr/$file" "$root/$file"; done
  for file in "$@"; do
    file=$(command -v "$file")
    cp -L --parents "$file" "$root"
    ldd "$file" | grep -oE '/[^ ]+' | xargs -r cp -L --parents --target-directory="$root"
  done
  cp -r "$folder/." "$root"
  tar -C "$root" -c . | docker import --message "made by $demo/run" - "$name" >/dev/null
  rm -r "$root"
}
