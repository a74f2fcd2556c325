"""Servers around the proxy: nginx, Squid, one that follows a script, a WebSocket echo."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h11
from attrs import define, field
from clients import Feed, need, whole
from program import PATIENCE, free_port, takes_connections, until
from websockets.sync.server import ServerConnection, serve

NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  log_format asked '$request_method $host $request_uri $http_user_agent';
  access_log {folder}/requests.log asked;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000;
  server {{
    listen 127.0.0.1:{port};
    {tls}
    root {folder}/www;
    default_type text/plain;
    add_header X-Origin {name};
    location /kept/ {{ expires 1h; }}
    location /fresh/ {{ add_header Cache-Control no-store; add_header X-Origin {name}; }}
    location = /who {{ add_header Cache-Control no-store; return 200 {name}; }}
    location = /as-asked {{
      add_header Cache-Control no-store;
      return 200 "via=$http_via xff=$http_x_forwarded_for proto=$http_x_forwarded_proto \
host=$http_host xhost=$http_x_forwarded_host forwarded=$http_forwarded uri=$request_uri\\n";
    }}
  }}
}}
"""


class Nginx:
    """nginx in a folder of its own. /kept/ may be cached, /fresh/ not; /who tells its name."""

    def __init__(
        self, folder: Path, name: str = "nginx", tls: tuple[Path, Path] | None = None
    ) -> None:
        self._program = need("nginx")
        self.folder = folder
        self.name = name
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        for part in ("www/kept", "www/fresh"):
            (folder / part).mkdir(parents=True)
        listen = ""
        if tls:
            listen = f"listen 127.0.0.1:{self.tls_port} ssl;"
            listen += f" ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};"
        self._config = folder / "nginx.conf"
        # A worker of root's nginx would be somebody who can't read the folder of the test.
        user = "user root;" if os.geteuid() == 0 else ""
        self._config.write_text(
            NGINX.format(folder=folder, port=self.port, tls=listen, name=name, user=user)
        )
        self.start()

    def start(self) -> None:
        command = [self._program, "-c", str(self._config), "-p", str(self.folder)]
        command += ["-e", str(self.folder / "error.log")]
        # A group of its own, so that a kill takes master and worker at once.
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            until(self._answers)
        except AssertionError:
            self.close()
            raise

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "error.log").read_text()
        return takes_connections(self.port)

    def put(self, path: str, content: bytes) -> bytes:
        """A file to be served under `path`."""
        file = self.folder / "www" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return content

    def requests(self, uri: str) -> list[str]:
        """The lines ``METHOD HOST URI AGENT`` of requests for that URI so far."""
        # It logs when a request is done, which can be after the client has the answer.
        time.sleep(0.1)
        lines = (self.folder / "requests.log").read_text().splitlines()
        return [line for line in lines if line.split()[2] == uri]

    def kill(self) -> None:
        """At once, connections reset, as when a machine fails."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # The worker, which listens, too, is not ours to wait for.
        until(lambda: not takes_connections(self.port), why="nginx still listens")

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()


SQUID = """
http_port 127.0.0.1:{port}
http_access allow all
cache deny all
visible_hostname squid.test
pid_filename {folder}/pid
access_log stdio:{folder}/access.log
cache_log {folder}/cache.log
cache_store_log none
coredump_dir {folder}
pinger_enable off
netdb_filename none
shutdown_lifetime 0 seconds
cache_mem 8 MB
{parent}
"""


class Squid:
    """Squid as a plain proxy, or as one that asks `parent` for everything."""

    def __init__(self, parent: int | None = None) -> None:
        program = need("squid")
        # Started by root it becomes somebody else, who can't enter the folder of a test.
        self.folder = Path(tempfile.mkdtemp(prefix="squid-"))
        self.folder.chmod(0o777)
        self.port = free_port()
        way = ""
        if parent is not None:
            way = f"cache_peer 127.0.0.1 parent {parent} 0 no-query no-digest default\n"
            way += "never_direct allow all"
        config = self.folder / "squid.conf"
        config.write_text(SQUID.format(folder=self.folder, port=self.port, parent=way))
        self._process = subprocess.Popen(
            [program, "-N", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: takes_connections(self.port), why="squid does not start")

    def requests(self) -> str:
        """Its access log."""
        log = self.folder / "access.log"
        return log.read_text() if log.exists() else ""

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder)


class Gone(Exception):
    """The other end closed."""


class Talk:
    """One connection to a scripted origin. What is read is kept in `record`."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.record = bytearray()
        self._unread = b""

    def read(self, size: int = 1 << 16) -> bytes:
        """Some bytes, b"" at the end."""
        if self._unread:
            data, self._unread = self._unread[:size], self._unread[size:]
            return data
        data = self.socket.recv(size)
        self.record += data
        return data

    def head(self) -> bytes:
        """Up to the empty line. Raises Gone where the connection ends before."""
        got = b""
        while b"\r\n\r\n" not in got:
            data = self.read()
            if not data:
                raise Gone
            got += data
        head, _, rest = got.partition(b"\r\n\r\n")
        self._unread = rest + self._unread
        return head + b"\r\n\r\n"

    def send(self, data: bytes, feed: Feed = whole) -> None:
        for piece in feed(data):
            self.socket.sendall(piece)
            if len(piece) == 1:
                time.sleep(0.0002)

    def reset(self) -> None:
        """Close with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


class Scripted:
    """A server that plays `script` on each connection, then closes it.

    talks: all connections, with every byte they brought. failures: what a script raised.
    """

    def __init__(
        self,
        script: Callable[[Talk], None],
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.script = script
        self.talks: list[Talk] = []
        self.failures: list[BaseException] = []
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, free_port()))
        self._listener.listen(4096)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._play, args=[connection], daemon=True).start()

    def _play(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE * 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            talk = Talk(connection)
            self.talks.append(talk)
            self.script(talk)
        except (Gone, OSError):
            pass
        except BaseException as failure:
            self.failures.append(failure)
        finally:
            connection.close()

    @property
    def received(self) -> bytes:
        """Every byte of every connection."""
        return b"".join(bytes(talk.record) for talk in self.talks)

    def close(self) -> None:
        # shutdown wakes the thread in accept; close alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        assert self.failures == []


@define
class Received:
    """A request as h11, which takes nothing ambiguous, understood it."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(factory=list)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name.lower()]

    def get(self, name: str) -> str:
        return ", ".join(self.all(name))


def plain(request: Received) -> bytes:
    """An answer that repeats the method and target it was for."""
    text = f"{request.method} {request.target}".encode()
    length = b"Content-Length: %d\r\nCache-Control: no-store\r\n\r\n" % len(text)
    return b"HTTP/1.1 200 OK\r\n" + length + (b"" if request.method == "HEAD" else text)


#: A head in which nothing can be read in two ways (RFC 9112 §2.2, §3, §5), h11 being lenient
#: about line ends and folds.
PLAIN_HEAD = re.compile(
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\.1\r\n"
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[\t -~\x80-\xff]*\r\n)*\r\n"
)


def check_plain(head: bytes) -> None:
    assert PLAIN_HEAD.fullmatch(head), head
    names = [line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]]
    assert names.count(b"host") == 1, head
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1, head


class Recording(Scripted):
    """A strict HTTP/1.1 server: what it can't read in just one way is a failure of the test.

    requests: what it understood, in order of arrival. respond: the bytes of an answer.
    """

    def __init__(
        self,
        respond: Callable[[Received], bytes] = plain,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.requests: list[Received] = []
        self.respond = respond
        super().__init__(self._serve, tls, host)

    def _serve(self, talk: Talk) -> None:
        unread = b""
        while True:
            judge = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            if unread:
                judge.receive_data(unread)
            request = self._one(talk, judge)
            self.requests.append(request)
            talk.send(self.respond(request))
            unread = judge.trailing_data[0]

    def _one(self, talk: Talk, judge: h11.Connection) -> Received:
        request = None
        body = []
        raw = judge.trailing_data[0]
        while True:
            event = judge.next_event()
            if event is h11.NEED_DATA:
                if judge.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    talk.send(judge.send(go_on) or b"")
                data = talk.read()
                if not data:
                    # A request that its client broke off is no request.
                    raise Gone
                judge.receive_data(data)
                raw += b"" if request else data
            elif isinstance(event, h11.Request):
                check_plain(raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
                request = Received(
                    event.method.decode(),
                    event.target.decode("latin-1"),
                    [(n.decode(), v.decode("latin-1")) for n, v in event.headers],
                )
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                request.body = b"".join(body)
                request.trailers = [(n.decode(), v.decode("latin-1")) for n, v in event.headers]
                return request
            else:
                raise Gone

    def asked(self, target: str) -> list[Received]:
        return [request for request in self.requests if request.target == target]


class Echo:
    """A WebSocket server that sends back each message."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        def echo(connection: ServerConnection) -> None:
            for message in connection:
                connection.send(message)

        self.port = free_port()
        self._server = serve(echo, "127.0.0.1", self.port, ssl=tls)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
