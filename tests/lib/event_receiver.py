#!/usr/bin/python3
"""A receiver of events, with faults.

usage: event_receiver.py DIRECTORY [--tls CERT KEY] [--port PORT]

Writes its port to DIRECTORY/port once it listens, what it took to DIRECTORY/received, and one JSON line for
each request to DIRECTORY/requests. DIRECTORY/faults, read for each request, holds words. The first of these
kinds is taken away and decides what becomes of this request; with `*` in front it stays:

    503, 429/1   this status, with this Retry-After; with `=` in front (`=200`) what came is taken
    refuse       the connection is reset before anything is read
    hang         read, and never answered
    cut          read and taken, and the connection ends without an answer
    slow         read and taken, and answered after three seconds

These stay: `max:BYTES` (413 above it), `token:VALUE` (401 for any other).
"""
import http.server, json, os, socket, ssl, sys, threading, time

directory = sys.argv[1]
options = sys.argv[2:]
lock = threading.Lock()


def word_of_now():
    """The fault of this request, and the words that stay."""
    with lock:
        try:
            words = open(directory + "/faults").read().split()
        except FileNotFoundError:
            return "", {}
        rules = dict(word.split(":", 1) for word in words if ":" in word)
        faults = [word for word in words if ":" not in word]
        if not faults:
            return "", rules
        if faults[0].startswith("*"):
            return faults[0][1:], rules
        words.remove(faults[0])
        with open(directory + "/faults.new", "w") as file:
            file.write(" ".join(words))
        os.rename(directory + "/faults.new", directory + "/faults")
        return faults[0], rules


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def note(self, answer, body=b""):
        with lock, open(directory + "/requests", "a") as file:
            file.write(json.dumps({
                "answer": answer, "bytes": len(body), "lines": body.count(b"\n"), "path": self.path,
                "whole": body.endswith(b"\n"), "type": self.headers.get("Content-Type"),
                "authorization": self.headers.get("Authorization"),
                "step": self.headers.get("X-Stepcell-Step"), "time": time.monotonic()}) + "\n")

    def take(self, body):
        with lock, open(directory + "/received", "ab") as file:
            file.write(body)

    def cut(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True
        self.connection.close()
        raise ConnectionAbortedError

    def answer(self, status, retry_after=None):
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        if status in (301, 302, 307, 308):
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def do_POST(self):
        fault, rules = word_of_now()
        if fault == "refuse":
            self.note(fault)
            self.cut()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "token" in rules and self.headers.get("Authorization") != "Bearer " + rules["token"]:
            fault = "401"
        elif len(body) > int(rules.get("max", len(body))):
            fault = "413"
        self.note(fault or "200", body)
        if fault == "hang":
            time.sleep(60)
            self.cut()
        if fault in ("", "cut", "slow") or fault.startswith("="):
            self.take(body)
        if fault == "cut":
            self.cut()
        if fault == "slow":
            time.sleep(3)
        status, _, retry_after = fault.lstrip("=").partition("/")
        self.answer(int(status) if status.isdigit() else 200, retry_after)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


port = int(options[options.index("--port") + 1]) if "--port" in options else 0
server = Server(("127.0.0.1", port), Handler)
if "--tls" in options:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*options[options.index("--tls") + 1:][:2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(directory + "/port.new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(directory + "/port.new", directory + "/port")
server.serve_forever()
