#!/usr/bin/env python3
"""A daemon with faults: stands between a client and an engine's socket, and spoils some answers.

usage: fault_engine.py SOCKET ENGINE_SOCKET METHOD:PATTERN FAULT [TIMES]

The fault meets calls of METHOD whose path matches PATTERN, TIMES of them (all by default); everything else
passes. Of the container that is made through it the path begins with /containers/own, whatever its id is.
FAULTs: close (no answer), cut (half of it), nonsense (no JSON), empty ({}), error (500 with a message),
gone (404), slow (byte by byte), silent (nothing, for ever), huge (more than anybody wants to have),
code (other exit codes than there were), refuse (the engine is not asked: 500), vanish (the engine does what it
was asked, and a second later its socket is gone), unlimited (it has left out all limits), unimage (the image of
a container is removed before), other-user (the container is of another user than it was asked for).
"""
import http.client
import http.server
import json
import os
import re
import socket
import socketserver
import sys
import time

place, engine, wanted, fault = sys.argv[1:5]
own = None
times = int(sys.argv[5]) if len(sys.argv) > 5 else 1 << 30
method, pattern = wanted.split(":", 1)


class Upstream(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(engine)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def spoil(self, status, headers, body):
        if fault == "close":
            self.close_connection = True
        elif fault == "cut":
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(body) + 100))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault == "nonsense":
            self.answer(status, headers, b"<html>" + body[:10])
        elif fault == "empty":
            self.answer(status, headers, b"{}")
        elif fault in ("error", "refuse"):
            self.answer(500, [], b'{"message":"something broke"}')
        elif fault == "gone":
            self.answer(404, [], b'{"message":"No such container"}')
        elif fault == "slow":
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() == "api-version":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
                self.wfile.flush()
                time.sleep(0.0005)
        elif fault == "silent":
            time.sleep(3600)
        elif fault == "huge":
            self.send_response_only(status)
            self.send_header("Content-Length", str(1 << 40))
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b" " * 65536)
            except OSError:
                self.close_connection = True
        elif fault == "vanish":
            time.sleep(1)
            os.unlink(place)
            os._exit(0)
        elif fault == "unlimited":
            self.answer(status, headers, re.sub(rb'"(Memory|CpuQuota|PidsLimit)":\d+', rb'"\1":0', body))
        elif fault == "code":
            body = re.sub(rb'"(StatusCode|ExitCode)":\d+', rb'"\1":99', body)
            self.answer(status, headers, body)

    def remove_image(self, image):
        upstream = Upstream("engine")
        upstream.request("DELETE", f"/v1.40/images/{image}?force=1")
        upstream.getresponse().read()

    def relay(self):
        global own, times
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        path = self.path.replace(own, "own") if own else self.path
        meets = re.fullmatch(method, self.command) and re.search(pattern, path) and times > 0
        if meets:
            times -= 1
        if meets and fault == "refuse":
            return self.spoil(500, [], b"")
        if meets and fault == "unimage":
            self.remove_image(json.loads(content)["Image"])
        if meets and fault == "other-user":
            content = json.dumps({**json.loads(content), "User": "4321:4321"}).encode()
        upstream = Upstream("engine")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length")}
        upstream.request(self.command, self.path, content or None, headers)
        response = upstream.getresponse()
        body = response.read()
        if "/containers/create" in self.path and response.status == 201:
            own = json.loads(body)["Id"]
        if meets and fault not in ("unimage", "other-user"):
            return self.spoil(response.status, response.getheaders(), body)
        if response.status in (204, 304):
            self.send_response_only(response.status)
            self.end_headers()
            return None
        return self.answer(response.status, response.getheaders(), body)

    do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = relay


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        request, _ = super().get_request()
        return request, ("engine", 0)


if os.path.exists(place):
    os.unlink(place)
os.umask(0)  # whoever calls
Server(place, Handler).serve_forever()
