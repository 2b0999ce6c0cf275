#!/usr/bin/python3
"""Feeds, and a registry, with faults.

usage: feed_server.py DIRECTORY [--upstream URL] [--tls CERTIFICATE KEY]

Serves the files below DIRECTORY/www, or what the registry at URL answers. Writes its port to DIRECTORY/port
once it listens, and one JSON line for each request to DIRECTORY/log. Each line of DIRECTORY/faults is a part
of a path (with its query) and what happens there: a status, `once:STATUS` for the first request alone,
`long:STATUS` with a Retry-After that is too long, `cut` in the middle, `need:AUTHORIZATION`, `to:URL`, a redirect, or
`link:URL`, the next page.
"""
import http.server, json, os, ssl, sys, urllib.error, urllib.request

directory = sys.argv[1]
options = sys.argv[2:]
upstream = options[options.index("--upstream") + 1] if "--upstream" in options else ""
seen = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def content(self):
        if not upstream:
            path = directory + "/www" + self.path.partition("?")[0]
            return (200, open(path, "rb").read(), {}) if os.path.isfile(path) else (404, b"", {})
        passed = {"Accept": self.headers.get("Accept", "*/*")}
        try:
            answer = urllib.request.urlopen(urllib.request.Request(upstream + self.path, headers=passed, method=self.command))
        except urllib.error.HTTPError as error:
            answer = error
        kind = {"Content_Type": answer.headers.get("Content-Type", "text/plain")}
        return answer.status, answer.read(), kind

    def do_GET(self):
        with open(directory + "/log", "a") as log:
            log.write(json.dumps({"path": self.path, "accept": self.headers.get("Accept", ""),
                                  "authorization": self.headers.get("Authorization", "")}) + "\n")
        headers, cut = {}, False
        for line in open(directory + "/faults"):
            part, _, fault = line.rstrip("\n").partition(" ")
            kind, _, value = fault.partition(":")
            if part not in self.path:
                continue
            if fault.isdigit():
                return self.answer(int(fault), b"no")
            if kind == "once" and line not in seen:
                seen.add(line)
                return self.answer(int(value), Retry_After="0")
            if kind == "long":
                return self.answer(int(value), Retry_After="86400")
            if kind == "need" and self.headers.get("Authorization") != value:
                return self.answer(401)
            if kind == "to":
                return self.answer(302, Location=value)
            if kind == "link":
                headers["Link"] = "<%s>; rel=\"next\"" % value
            cut = cut or fault == "cut"
        status, body, more = self.content()
        self.answer(status, body[:len(body) // 2] if cut else body, len(body), **headers, **more)
        self.close_connection = self.close_connection or cut

    do_HEAD = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if "--tls" in options:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*options[options.index("--tls") + 1:][:2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(directory + "/port.new", "w") as port:
    port.write(str(server.server_address[1]))
os.rename(directory + "/port.new", directory + "/port")
server.serve_forever()
