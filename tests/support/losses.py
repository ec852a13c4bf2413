"""Programs that lose something without a word where a capability is missing, and programs of the
same kinds that only look so: what they leave and print is another thing each time.

``python -m tests.bench.losses`` proves all of them, ``tests/kernel/test_losses.py`` a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A program, as a workload of a file and as a command."""

    name: str
    command: str
    setup: str = "true"
    caps: str = ""
    """Capabilities of which it needs any one; of a control: all that it needs."""
    user: str | None = None
    daemon: bool = False
    """It says that it is up by a file of this name."""

    def workload(self) -> dict[str, Any]:
        """The workload's document."""
        kind = {"kind": "daemon", "check": "[ -e up ] && sleep 0.2"} if self.daemon else {}
        user = {"user": self.user} if self.user else {}
        return {"name": self.name, "setup": self.setup, "command": self.command, **kind, **user}


_PLACES = {
    "here": "d",
    "etc": "/etc/zz",
    "log": "/var/log/zz",
    "lib": "/var/lib/zz",
    "opt": "/opt/zz",
    "mount": "/mnt/zz",
}
_MOUNTED = "mount -t tmpfs zz /mnt; "
_FOREIGN = "mkdir -p P; echo x > P/f; chmod 600 P/f; chown nobody P/f"
_OPERATIONS = (
    ("chown", "mkdir -p P; touch P/f", "chown -R nobody P 2>/dev/null || :", "CHOWN"),
    ("chgrp", "mkdir -p P; touch P/f", "chgrp nogroup P/f 2>/dev/null || :", "CHOWN"),
    ("chmod", _FOREIGN, "chmod 640 P/f 2>/dev/null || :", "FOWNER"),
    ("setcap", "mkdir -p P; touch P/f", "setcap cap_net_raw+ep P/f 2>/dev/null || :", "SETFCAP"),
    ("setfattr", "mkdir -p P; touch P/f", "setfattr -n trusted.a -v b P/f || :", "SYS_ADMIN"),
    ("touch", _FOREIGN, "touch -d 2001-01-01 P/f 2>/dev/null || :", "FOWNER"),
    ("append", _FOREIGN, "(echo y >> P/f) 2>/dev/null || :", "DAC_OVERRIDE"),
    (
        *("remove", f"{_FOREIGN}; chown nobody P; chmod 755 P", "rm -f P/f 2>/dev/null || :"),
        "DAC_OVERRIDE",
    ),
    ("mknod", "mkdir -p P", "mknod P/null c 1 3 2>/dev/null || :", "MKNOD"),
)
_CLOSED = (
    "mkdir -p d/s; for i in 1 2 3; do head -c 20000 /dev/zero > d/s/$i; done; chown -R nobody d; "
    "chmod 700 d/s"
)
_SECRET = "seq 900 > f; chmod 600 f; chown nobody f"
_READ = "DAC_OVERRIDE DAC_READ_SEARCH"
_OTHERS = (
    Case("du", "du -s d 2>/dev/null; true", _CLOSED, _READ),
    Case("tar", "tar cf b.tar d 2>/dev/null; exit 0", _CLOSED, _READ),
    Case("find", "find d 2>/dev/null | wc -l", _CLOSED, _READ),
    Case("ls", "ls d/s 2>/dev/null; true", _CLOSED, _READ),
    Case("stat", "stat -c %s d/s/1 2>/dev/null; true", _CLOSED, _READ),
    Case("cat-into", "cat f > out 2>/dev/null; true", _SECRET, _READ),
    Case("cat", "cat f 2>/dev/null; true", _SECRET, _READ),
    Case("wc", "(wc -l < f) 2>/dev/null; true", _SECRET, _READ),
    Case("gzip", "gzip -nc f > f.gz 2>/dev/null; true", _SECRET, _READ),
    Case("grep", "grep -c 7 f 2>/dev/null; true", _SECRET, _READ),
    Case("md5sum", "md5sum f > sums 2>/dev/null; true", _SECRET, _READ),
    Case("tail-to-log", "tail -n 3 f >> /var/log/zz 2>/dev/null; true", _SECRET, _READ),
    Case("readable", "[ -r f ] && echo yes; true", _SECRET, _READ),
    Case("getfattr", "getfattr -m - f", "touch f; setfattr -n trusted.a -v b f", "SYS_ADMIN"),
    Case(
        *("rsync-aX", "rsync -aX s/ d/"),
        *("mkdir s d; touch s/f; setfattr -n trusted.a -v b s/f", "SYS_ADMIN"),
    ),
    Case("cp-p", "cp -p f g 2>/dev/null; true", "touch f; chown nobody f", "CHOWN"),
    Case("cp-into-etc", "cp -p f /etc/zz; true", "touch f; chown nobody f", "CHOWN"),
    Case("set-group-bit", "chmod g+s f", "touch f; chgrp nogroup f", "FSETID"),
    Case(
        *("tar-x", "tar xpf a.tar 2>/dev/null; true"),
        *("mkdir t; touch t/f; chown nobody t/f; tar cf a.tar t; rm -r t", "CHOWN"),
    ),
    Case(
        *("sticky", "mv d/f d/g 2>/dev/null; true"),
        *("mkdir -m 1777 d; chown 5 d; touch d/f; chown 6 d/f", "FOWNER"),
    ),
    Case("mkdir", "mkdir d/e 2>/dev/null; true", "mkdir d; chown nobody d", "DAC_OVERRIDE"),
    Case("link", "ln -s x d/e 2>/dev/null; true", "mkdir d; chown nobody d", "DAC_OVERRIDE"),
    Case("truncate", "truncate -s 0 f 2>/dev/null; true", _SECRET, "DAC_OVERRIDE"),
    Case("user", "setpriv --reuid nobody id -un 2>/dev/null || id -un", "true", "SETUID"),
    Case("nice", "nice -n -5 nice 2>/dev/null", "true", "SYS_NICE"),
    Case("chrt", "chrt -r 5 true 2>/dev/null && echo real time; true", "true", "SYS_NICE"),
    Case("chroot", "chroot / true 2>/dev/null && touch in; true", "true", "SYS_CHROOT"),
    Case("unshare", "unshare -m true 2>/dev/null && echo apart; true", "true", "SYS_ADMIN"),
    Case("hostname", "hostname zz 2>/dev/null; hostname", "true", "SYS_ADMIN"),
    Case(
        *("address", "ip addr add 10.9.9.9/32 dev lo 2>/dev/null; ip -o addr | grep -c 10.9.9.9"),
        *("true", "NET_ADMIN"),
    ),
    Case(
        "port",
        "python3 -c \"import socket as s; a = s.socket(); p = 80\ntry: a.bind(('', p))\n"
        'except OSError: p = 8080\nprint(p)"',
        caps="NET_BIND_SERVICE",
    ),
    Case(
        "raw",
        "python3 -c \"import socket as s\ntry: s.socket(2, 3, 1); open('raw', 'w')\n"
        'except OSError: pass"',
        caps="NET_RAW",
    ),
)


_OWN = (
    "mkdir -p /opt/zz/p; chmod 777 /opt/zz; cp $(which chown) /opt/zz/own; chmod 4755 /opt/zz/own; "
    "cp -p /opt/zz/own /opt/zz/p; ln -s /opt/zz/own link; touch f; "
    "cp $(which chown) /opt/zz/capable; setcap cap_chown+ep /opt/zz/capable"
)
"""Outside of the scratch folder, which is given to the user."""
_SET_IDS = {
    "relative": "f=$PWD/f; cd /opt/zz; ./own daemon $f",
    "path": "PATH=/opt/zz:$PATH; own daemon f",
    "link": "./link daemon f",
    "removed": "(/opt/zz/own daemon f; rm /opt/zz/own)",
    "shell": "sh -c 'cd /opt/zz/p && ./own daemon '$PWD/f",
    "file-caps": "/opt/zz/capable daemon f",
}
_SLEEPS = "exec sleep 1000"
_DAEMONS = tuple(
    Case(f"daemon-{name}", f"{command}\ntouch up\n{_SLEEPS}", setup, caps, daemon=True)
    for name, command, setup, caps in (
        (
            *("worker", "(setpriv --reuid 33 sleep 999 || sleep 999) 2>/dev/null & sleep 0.3"),
            *("true", "SETUID"),
        ),
        (
            *("group", "(setpriv --regid 33 --keep-groups sleep 999 || sleep 999) 2>/dev/null &"),
            *("true", "SETGID"),
        ),
        (
            "saved",
            "python3 -c 'import os, time\ntry: os.setresuid(0, 33, 0)\nexcept OSError: pass\n"
            'open("in", "w")\ntime.sleep(999)\' & while [ ! -e in ]; do sleep 0.05; done',
            *("chmod 777 .", "SETUID"),
        ),
        (
            "supplementary",
            "python3 -c 'import os, time\ntry: os.setgroups([5])\nexcept OSError: pass\n"
            'open("in", "w")\ntime.sleep(999)\' & while [ ! -e in ]; do sleep 0.05; done',
            *("rm -f in", "SETGID"),
        ),
        (
            "filter",
            "python3 -c 'import ctypes, struct, time\nc = ctypes.CDLL(None)\n"
            'code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))\n'
            'prog = struct.pack("HxxxxxxQ", 1, ctypes.addressof(code))\n'
            'c.syscall(317, 1, 0, prog)\nopen("in", "w")\ntime.sleep(999)\' & '
            "while [ ! -e in ]; do sleep 0.05; done",
            *("rm -f in", "SYS_ADMIN"),
        ),
        (
            "helper",
            "(chroot / sleep 999 2>/dev/null &) ; sleep 0.3",
            *("true", "SYS_CHROOT"),
        ),
        (
            *(
                "port",
                "(busybox httpd -f -p 80 || busybox httpd -f -p 8080) 2>/dev/null & sleep 0.3",
            ),
            *("true", "NET_BIND_SERVICE"),
        ),
        (
            *("start", "chown nobody f 2>/dev/null"),
            *("touch f", "CHOWN"),
        ),
    )
) + tuple(
    Case(
        f"stop-{name}",
        f"trap '{command} 2>/dev/null; exit 0' TERM; touch up; while :; do sleep 0.05; done",
        *(setup, caps),
        daemon=True,
    )
    for name, command, setup, caps in (
        ("chown", "chown nobody f", "touch f", "CHOWN"),
        (
            "var",
            "chown -R nobody /var/lib/zz",
            "mkdir -p /var/lib/zz; touch /var/lib/zz/f",
            "CHOWN",
        ),
        ("log", "tail -n 1 f >> /var/log/zz", _SECRET, _READ),
        ("print", "cat f", "echo word > f; chmod 600 f; chown nobody f", _READ),
        ("remove", "rm d/f", "mkdir d; touch d/f; chown -R nobody d", "DAC_OVERRIDE"),
    )
)


def losses() -> Iterator[Case]:
    """First one of each kind, then the same in other places."""
    rest = []
    for number, (name, setup, command, caps) in enumerate(_OPERATIONS):
        for at, (word, place) in enumerate(_PLACES.items()):
            texts = [text.replace("P", place) for text in (command, setup)]
            texts[1] = (_MOUNTED if word == "mount" else "") + texts[1]
            case = Case(f"{name}-{word}", *texts, caps)
            if at == number % len(_PLACES):
                yield case
            else:
                rest.append(case)
    yield from _OTHERS
    for name, command in _SET_IDS.items():
        silent = f"{command} 2>/dev/null || :"
        yield Case(f"set-id-{name}", silent, _OWN, "CHOWN", "nobody")
    yield from (*_DAEMONS, *rest)


_RANDOM = "python3 -c 'import random; print(random.randrange(100000))'"
_CONTROLS = {
    "date": "date > f",
    "date-printed": "date; date +%s.%N",
    "pid": "echo $$ > f; echo pid $$",
    "mktemp": "mktemp -p . tmp.XXXXXX",
    "mktemp-lower": "python3 -c 'import tempfile; print(tempfile.mkdtemp(dir=\".\"))'",
    "random": "head -c 1000 /dev/urandom > f",
    "random-size": f"head -c $({_RANDOM}) /dev/urandom | head -c 900 > f; echo >> f",
    "number": _RANDOM,
    "number-in-line": f"echo took $({_RANDOM}) steps of 9",
    "uuid": "cat /proc/sys/kernel/random/uuid",
    "uuid-in-line": "echo id=$(cat /proc/sys/kernel/random/uuid) ok > f; cat f",
    "base64": "head -c 30 /dev/urandom | base64",
    "base64-long": "head -c 3000 /dev/urandom | base64",
    "md5": "head -c 30 /dev/urandom | md5sum",
    "hex": "head -c 8 /dev/urandom | xxd -p",
    "binary": "head -c 2000 /dev/urandom",
    "mac": "printf '%s\\n' $(head -c 6 /dev/urandom | xxd -p | sed 's/../&:/g; s/:$//')",
    "ls-l": "touch f; ls -l f; ls -i f",
    "stat": "touch f; stat f",
    "lines": f"seq $(($({_RANDOM}) % 30 + 5)) > f",
    "order": "seq 20 | shuf",
    "order-in-file": "seq 20 | shuf > f",
    "log": 'echo "$(date) started, pid $$" >> /var/log/zz.log',
    "pid-file": "echo $$ > /run/zz.pid",
    "name-of-pid": "echo x > /var/tmp/zz.$$",
    "name-of-time": "touch log-$(date +%s%N).txt",
    "random-folder": "d=$(mktemp -d -p .); mkdir $d/a; echo $$ > $d/a/f; chmod 700 $d/a",
    "shm": "mktemp -p /dev/shm zz.XXXXXX",
    "link": "ln -s $$ lock",
    "time": "bash -c 'time sleep 0.0$((RANDOM % 9))'",
    "dd": "dd if=/dev/zero of=f bs=1M count=3",
    "gzip-time": "date > f; gzip f",
    "tar-time": "date +%N > f; tar cf a.tar f",
    "uptime": "uptime; cat /proc/loadavg; free -m",
    "proc": "cat /proc/self/stat; grep -v ctxt /proc/self/status",
    "maps": "cat /proc/self/maps",
    "ps": "ps -o pid=,ppid=,lstart=,comm=",
    "background": "for i in 1 2 3 4; do (sleep 0.0$i; echo job $i pid $$) & done; wait",
    "port": (
        "python3 -c \"import socket as s; a = s.socket(); a.bind(('127.0.0.1', 0)); "
        "print('port', a.getsockname()[1])\""
    ),
    "address": "python3 -c 'print(object())'",
    "traceback": "python3 -c 'print(id(0), hash(\"a\"))'",
    "sqlite": (
        "python3 -c \"import sqlite3, os; c = sqlite3.connect('db'); "
        "c.execute('create table t(a)'); "
        "c.execute('insert into t values (?)', (os.urandom(99),)); c.commit()\""
    ),
    "mode": "touch f; chmod 6$(($$ % 8))0 f",
    "own-sets": "grep Cap /proc/self/status; grep CapEff /proc/self/status > f",
    "seconds": "date +%S; date +%T; date +%H:%M",
    "speed": "dd if=/dev/zero of=/dev/null bs=1M count=20 2>&1 | tail -n 1",
    "json": 'printf \'{"time": "%s", "id": %d, "ok": true}\\n\' $(date +%FT%T.%N) $$',
    "table": 'for i in 1 2 3; do echo "$i $(date +%N) $$ done"; done',
    "two-logs": "for i in a b; do date +%N > /var/log/zz-$i-$(date +%N).log; done",
    "mtime": 'touch -d "$(date)" f; touch -r f g',
    "ids-in-names": "for i in 1 2 3; do touch f-$(cat /proc/sys/kernel/random/uuid); done",
    "hidden": "touch .zz.$(date +%N).swp",
    "cache": "mkdir -p c/$(head -c 1 /dev/urandom | xxd -p); date > c/index",
    "stderr": 'echo "warning $$: $(date)" >&2',
    "lib": "mkdir -p /var/lib/zz; date +%N > /var/lib/zz/now; mktemp -p /var/lib/zz",
    "opt": "mkdir /opt/zz-$(date +%N); echo $$ > /opt/zz.pid",
    "usr": "date > /usr/local/zz; mkdir -p /srv/zz; mktemp -p /srv/zz; mktemp -p $HOME",
    "stderr-random": "head -c 9 /dev/urandom | xxd -p >&2",
}


_DAEMON_CONTROLS = {
    "quiet": "true",
    "short-lived": "(while :; do sleep 0.0$((RANDOM % 9 + 1)); date; done > /dev/null) &",
    "names": "cp $(which sleep) s-$$; ./s-$$ 999 &",
    "random-names": "n=$(mktemp XXXXXXXX); cp $(which sleep) $n; chmod 755 $n; ./$n 999 &",
    "workers": "for i in $(seq $(($$ % 4 + 1))); do sleep 999 & done",
    "log": "(while :; do date +%N; sleep 0.02; done > log) &",
    "unset": "(while :; do date +%N > state; sleep 0.02; rm state; done 2>/dev/null) &",
    "port": (
        'python3 -c \'import socket as s, time; a = s.socket(); a.bind(("", 0)); a.listen(); '
        "time.sleep(999)' &"
    ),
}


def controls() -> Iterator[Case]:
    """All of them without a need, then some of them with one."""
    for name, command in _CONTROLS.items():
        yield Case(f"same-{name}", command)
    for name in ("date", "mktemp", "number", "log", "random-folder"):
        command = f"chown nobody g || exit; {_CONTROLS[name]}"
        yield Case(f"chown-{name}", command, "touch g", "CHOWN")
    for name, command in _DAEMON_CONTROLS.items():
        yield Case(f"daemon-{name}", f"{command}\ntouch up\n{_SLEEPS}", daemon=True)
