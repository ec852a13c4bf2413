"""A web server as many are: it starts as root, takes port 80 and its log, then becomes nobody."""

import http.server
import os
import pwd

nobody = pwd.getpwnam("nobody")
log = os.open("/tmp/capadvise-demo.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o640)
os.fchown(log, nobody.pw_uid, nobody.pw_gid)
server = http.server.HTTPServer(("", 80), http.server.SimpleHTTPRequestHandler)
os.setgroups([])
os.setgid(nobody.pw_gid)
os.setuid(nobody.pw_uid)
server.serve_forever()
