"""A local HTTP server of small files under published names, which misbehaves in the ways servers and networks do."""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.requests.append(self.headers.get("Range"))
        if server.redirect:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.path not in server.files:
            return self.send_error(404)
        if server.status and (code := server.status.pop(0)) != 200:
            return self.send_error(code)
        content = server.files[self.path]
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted and server.ranges else 0
        if server.if_range and self.headers.get("If-Range") != etag:
            start = 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if server.etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Type", server.content_type)
        self.send_header("Content-Length", server.length or str(len(content) - start))
        self.end_headers()
        if server.slow:
            for i in range(start, len(content), server.slow):
                self.wfile.write(content[i : i + server.slow])
                time.sleep(0.01)
            return
        stop = server.stop_after.pop(0) if server.stop_after else None
        self.wfile.write(content[start:][:stop])
        if stop is not None:
            self.close_connection = True
            if server.reset:  # RST instead of FIN: "connection reset by peer"
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    def log_message(self, *args):
        pass


class PublishedServer(ThreadingHTTPServer):
    """Serves ``files`` ({"/base.pt": bytes}) at ``url``; its other attributes say how it behaves."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests = {}, []
        self.ranges, self.if_range, self.etag, self.reset = True, True, True, False
        self.content_type, self.length, self.redirect = "application/octet-stream", "", ""
        self.slow = 0  # bytes to send at once, with pauses
        self.stop_after, self.status = [], []  # bytes to send and codes to answer, one for each request
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # clients that break off are meant to

    def __enter__(self):
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()
