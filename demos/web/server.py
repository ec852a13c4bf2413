"""A web server as many are: it starts as root, takes port 80 and its log, then becomes nobody."""

import http.server
import os
import pwd
import tempfile

os.chdir("/")  # not where it was started: nobody may not look into that
nobody = pwd.getpwnam("nobody")
log = tempfile.TemporaryFile()  # noqa: SIM115 (one with a name would be found by the next run)
os.fchown(log.fileno(), nobody.pw_uid, nobody.pw_gid)
server = http.server.HTTPServer(("", 80), http.server.SimpleHTTPRequestHandler)
os.setgroups([])
os.setgid(nobody.pw_gid)
os.setuid(nobody.pw_uid)
server.serve_forever()
