"""Squid as a forward proxy, with its memory cache, and before the origin as an accelerator.

As installed: Debian's squid.conf, with its access log by the log daemon. Tuned: JSON lines into a
buffered file.
"""

from __future__ import annotations

import os
import pwd
import shutil

from bench.machine import Command, program
from bench.peers import Peer, Place
from bench.text import Text

CONFIG = Text("""
http_port 127.0.0.1:@forward
http_port 127.0.0.1:@http accel defaultsite=localhost no-vhost
cache_peer 127.0.0.1 parent @origin 0 no-query no-digest originserver name=origin
acl accelerated myportname 127.0.0.1:@http
cache_peer_access origin allow accelerated
cache_peer_access origin deny all
always_direct deny accelerated
always_direct allow all
http_access allow all
cache_mem 256 MB
max_filedescriptors @files
visible_hostname localhost
pid_filename @folder/pid
cache_log @folder/cache.log
coredump_dir @folder
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
@log
""")
AS_INSTALLED = "access_log daemon:@folder/access.log squid"
TUNED = """
logformat lines {"time":"%tg","client":"%>a","method":"%rm","uri":"%ru","status":%>Hs,\
"bytes":%<st,"ms":%tr,"cache":"%Ss","server":"%<a","agent":"%{User-Agent}>h"}
access_log stdio:@folder/access.log logformat=lines
buffered_logs on
memory_cache_mode always
collapsed_forwarding on
"""


def _run(place: Place, log: str) -> list[Command]:
    squid = program("squid")
    if os.geteuid() == 0:
        # Started by root it becomes its own user, who writes its files here.
        shutil.chown(place.folder, pwd.getpwnam("proxy").pw_uid)
    names = {**place.names, "files": min(os.sysconf("SC_OPEN_MAX"), 65536)}
    text = CONFIG.substitute(names, log=Text(log).substitute(names))
    return [Command([squid, "-N", "-f", place.write("squid.conf", text)])]


def _as_installed(place: Place) -> list[Command]:
    return _run(place, AS_INSTALLED)


def _tuned(place: Place) -> list[Command]:
    return _run(place, TUNED)


PEERS = (
    Peer("Squid", _as_installed, ("http", "forward"), ("squid", "-v")),
    Peer("Squid tuned", _tuned, ("http", "forward"), ("squid", "-v")),
)
