"""nginx: /kept/ from its cache on disk, the rest proxied. One worker, as there is one core.

As installed: Debian's nginx.conf and proxy_params. That speaks HTTP/1.0 to the origin, on a new
connection each time. Its tcp_nopush makes answers of 100 KB wait 40 ms on loopback, whose segments
are large, for an acknowledgement; tuned, it is off.
"""

from __future__ import annotations

import os

from bench.machine import Command, program
from bench.peers import Peer, Place
from bench.text import Text

CONFIG = Text("""
daemon off;
@user
worker_processes 1;
worker_rlimit_nofile @files;
pid @folder/pid;
error_log @folder/error.log;
events { worker_connections @files; }
http {
  client_body_temp_path @folder/body;
  proxy_temp_path @folder/proxy;
  fastcgi_temp_path @folder/fastcgi;
  uwsgi_temp_path @folder/uwsgi;
  scgi_temp_path @folder/scgi;
  sendfile on;
  gzip on;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_prefer_server_ciphers on;
  proxy_cache_path @folder/cache keys_zone=kept:64m max_size=4g inactive=1h;
  upstream origin {
    server 127.0.0.1:@origin;
    @upstream
  }
  @http_block
  server {
    listen 127.0.0.1:@http backlog=16384;
    listen 127.0.0.1:@tls ssl backlog=16384;
    ssl_certificate @certificate;
    ssl_certificate_key @key;
    proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    @server
    location / { proxy_pass http://origin; }
    location /kept/ { proxy_pass http://origin; proxy_cache kept; }
  }
}
""")
AS_INSTALLED = {
    "upstream": "",
    "http_block": "tcp_nopush on; access_log @folder/access.log;",
    "server": "",
}
TUNED = {
    "upstream": "keepalive 64; keepalive_requests 1000000000;",
    "http_block": """
  log_format lines escape=json '{"time":"$time_iso8601","client":"$remote_addr",'
    '"method":"$request_method","host":"$host","uri":"$request_uri","status":$status,'
    '"bytes":$body_bytes_sent,"seconds":$request_time,"cache":"$upstream_cache_status",'
    '"server":"$upstream_addr","server_seconds":"$upstream_response_time",'
    '"agent":"$http_user_agent"}';
  access_log @folder/access.log lines buffer=64k flush=1s;
  keepalive_requests 1000000000;
  open_file_cache max=1000;""",
    "server": """
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header Via "1.1 nginx";
    proxy_cache_lock on;
    # Who reads slowly is waited for, instead of gigabytes written to temporary files.
    proxy_max_temp_file_size 0;""",
}


def _run(place: Place, choices: dict[str, str]) -> list[Command]:
    nginx = program("nginx")
    names = {
        **place.names,
        # A worker of root's nginx would be somebody who can't write our folder.
        "user": "user root;" if os.geteuid() == 0 else "",
        "files": os.sysconf("SC_OPEN_MAX"),
    }
    blocks = {name: Text(text).substitute(names) for name, text in choices.items()}
    config = place.write("nginx.conf", CONFIG.substitute(names, **blocks))
    errors = str(place.folder / "error.log")
    return [Command([nginx, "-p", str(place.folder), "-c", config, "-e", errors])]


def _as_installed(place: Place) -> list[Command]:
    return _run(place, AS_INSTALLED)


def _tuned(place: Place) -> list[Command]:
    return _run(place, TUNED)


PEERS = (
    Peer("nginx", _as_installed, ("http", "tls"), ("nginx", "-v")),
    Peer("nginx tuned", _tuned, ("http", "tls"), ("nginx", "-v")),
)
