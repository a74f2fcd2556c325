"""Pages of any size for a cache to keep, and a look into the cache of who keeps them."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from functools import lru_cache
from random import Random
from typing import Any

from clients import Reply, get
from origins import Scripted, Talk
from program import PATIENCE, Program

HOST = "shop.example"


@lru_cache(64)
def content(path: str, edition: int) -> bytes:
    """Bytes that no other page has, as many as the last segment of its path says."""
    return Random(f"{path} {edition}").randbytes(int(path.rpartition("/")[2]))


class Pages(Scripted):
    """A server of /…/SIZE: fresh for an hour, tagged by the segments of the path.

    asked: how often, by path. edition: of each path, counted up by what isn't GET. While `gate` is
    closed the answers for /slow/… stay half; `halfway` is how many began.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.edition: Counter[str] = Counter()
        self.gate = threading.Event()
        self.halfway = threading.Semaphore(0)
        super().__init__(self._serve)

    def body(self, path: str) -> bytes:
        return content(path, self.edition[path])

    def _serve(self, talk: Talk) -> None:
        while True:
            method, target, _ = talk.head().split(b" ", 2)
            path = target.decode()
            if method != b"GET":
                self.edition[path] += 1
                talk.send(b"HTTP/1.1 204 No Content\r\n\r\n")
                continue
            self.asked[path] += 1
            body, tags = self.body(path), " ".join(path.split("/")[1:-1])
            talk.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nCache-Control: max-age=3600\r\n"
                b'ETag: "%d"\r\nContent-Type: text/plain\r\nCache-Tag: %b\r\n\r\n'
                % (len(body), self.edition[path], tags.encode())
            )
            half = len(body) // 2 if path.startswith("/slow/") else 0
            talk.send(body[:half])
            if half:
                self.halfway.release()
                assert self.gate.wait(PATIENCE)
            talk.send(body[half:])


def page(proxy: Program, path: str, **fields: str) -> Reply:
    return get(proxy.reverse, path, HOST, **fields)


def admin(proxy: Program, request: str) -> str:
    """What the admin socket answers: the body of a 200."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(proxy.folder / "var/admin.sock"))
        client.sendall(f"{request} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := client.recv(1 << 16):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    return body.decode()


def snapshot(proxy: Program) -> Any:
    return json.loads(admin(proxy, "GET /snapshot"))


def store(proxy: Program, name: str) -> Any:
    """The figures of a store behind memory; {} if there is none of that name."""
    return snapshot(proxy)["cache"].get(name, {})
