"""The server behind every proxy: nginx, on the load's cores, answering out of memory.

PATHS it has, and how many bytes each brings: what is under /fresh/ may not be stored, what is
under /kept/ may, for an hour. Any query is taken.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.request import urlopen

from bench.machine import LOAD_CORES, Child, Command, free_port, program, takes_connections, until
from bench.text import Text

SMALL = 1024
MIDDLE = 100 * 1024
LARGE = 1 << 20
SLOW = 4 << 20
BULK = 100 * 1000 * 1000
SIZES = {"1k": SMALL, "100k": MIDDLE, "1m": LARGE, "4m": SLOW, "100m": BULK}

CONFIG = Text("""
daemon off;
@user
worker_processes 1;
worker_rlimit_nofile @files;
pid @folder/pid;
error_log @folder/error.log;
events { worker_connections @files; }
http {
  access_log off;
  client_body_temp_path @folder/body;
  proxy_temp_path @folder/proxy;
  fastcgi_temp_path @folder/fastcgi;
  uwsgi_temp_path @folder/uwsgi;
  scgi_temp_path @folder/scgi;
  sendfile on;
  open_file_cache max=100;
  open_file_cache_valid 1h;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  default_type text/plain;
  server {
    listen 127.0.0.1:@port backlog=16384;
    root @folder/www;
    location /fresh/ { add_header Cache-Control no-store; }
    location /kept/ { add_header Cache-Control "max-age=3600"; }
    location = /fresh/1k { add_header Cache-Control no-store; return 200 @small; }
    location = /count { stub_status; }
    location = /kept/1k { add_header Cache-Control "max-age=3600"; return 200 @small; }
  }
}
""")


class Origin:
    """Running from the start, in a folder that it makes; `close` ends it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        for life in ("fresh", "kept"):
            (folder / "www" / life).mkdir(parents=True)
            for name, size in SIZES.items():
                with (folder / "www" / life / name).open("wb") as file:
                    file.truncate(size)
        config = folder / "nginx.conf"
        config.write_text(
            CONFIG.substitute(
                folder=folder,
                port=self.port,
                small="x" * SMALL,
                # A worker of root's nginx would be somebody who can't read our folder.
                user="user root;" if os.geteuid() == 0 else "",
                files=os.sysconf("SC_OPEN_MAX"),
            )
        )
        arguments = [program("nginx"), "-p", str(folder), "-c", str(config)]
        self._child = Child(
            Command([*arguments, "-e", str(folder / "error.log")]), folder, LOAD_CORES
        )
        until(lambda: takes_connections(self.port), "nginx, the origin, does not start")

    def close(self) -> None:
        self._child.stop()


def requests(port: int) -> int:
    """How many it has had so far, this one included."""
    with urlopen(f"http://127.0.0.1:{port}/count") as answer:
        # "Active connections: 1 / server accepts handled requests / 7 7 31 / ..."
        return int(answer.read().split(b"\n")[2].split()[2])
