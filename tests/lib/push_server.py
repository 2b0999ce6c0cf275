#!/usr/bin/python3
"""A registry that can be pushed to, with faults: the repository's name says which one.

usage: push_server.py DIRECTORY

Keeps everything in memory. Writes its port to DIRECTORY/port once it listens, and one JSON line for each
request to DIRECTORY/log. A repository auth-* wants a token with the scopes that the request needs.
"""
import base64, hashlib, http.server, json, os, re, socket, sys, threading, urllib.parse

directory = sys.argv[1]
BASIC = "Basic " + base64.b64encode(b"worker:s3cret").decode()
CUT = 700000  # bytes that a broken upload gets
blobs, manifests, uploads, tokens, seen = {}, {}, {}, {}, {}
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status not in (204, 304) and "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, **headers):
        self.answer(status, json.dumps({"errors": [{"code": code, "message": "said \x1b[31mred"}]}).encode(), **headers)

    def cut(self):
        """Breaks the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True
        self.connection.close()
        raise ConnectionAbortedError

    def first(self, what):
        """Whether this is the first time in this repository."""
        key = (self.repository, what)
        with lock:
            seen[key] = seen.get(key, 0) + 1
            return seen[key] == 1

    def handle_any(self):
        parts = urllib.parse.urlsplit(self.path)
        self.query = {name: values for name, values in urllib.parse.parse_qs(parts.query).items()}
        with lock, open(directory + "/log", "a") as log:
            log.write(json.dumps({
                "method": self.command, "path": self.path, "type": self.headers.get("Content-Type", ""),
                "authorization": self.headers.get("Authorization", ""),
                "length": self.headers.get("Content-Length", ""),
                "range": self.headers.get("Content-Range", "")}) + "\n")
        if parts.path == "/token":
            return self.token()
        match = re.fullmatch(r"/v2/([a-z0-9/._-]+?)/(manifests|blobs/uploads|blobs)/(.*)", parts.path)
        if not match:
            return self.answer(404)
        self.repository, kind, rest = match.groups()
        self.fault = self.repository.split("/")[0]
        if self.fault.startswith("auth") and not self.allowed():
            needed = "repository:%s:%s" % (self.repository, self.needed())
            return self.error(401, "UNAUTHORIZED", WWW_Authenticate='Bearer realm="http://%s/token",service="s",scope="%s"' % (
                self.headers["Host"], needed))
        if self.command in ("POST", "PUT", "PATCH") and self.fault.startswith("status-"):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return self.error(int(self.fault[7:]), "DENIED" if self.fault != "status-400" else "\x1b]0;x")
        getattr(self, kind.replace("/", "_"))(rest)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any

    # ---- tokens ----

    def needed(self):
        return "pull" if self.command in ("GET", "HEAD") else "pull,push"

    def token(self):
        if self.headers.get("Authorization") != BASIC:
            return self.error(401, "UNAUTHORIZED")
        with lock:
            name = "token-%d" % len(tokens)
            tokens[name] = self.query.get("scope", [])
        self.answer(200, json.dumps({"token": name}).encode())

    def allowed(self):
        _, _, name = self.headers.get("Authorization", "").partition(" ")
        scopes = tokens.get(name, [])
        wanted = [self.repository, self.needed()]
        if self.fault == "auth-once" and self.command == "PATCH" and self.first("expired"):
            # After all of the body: what an expired token costs.
            self.rfile.read(int(self.headers["Content-Length"]))
            return False
        if self.fault == "auth-nomount" and "mount" in self.query:
            return False
        return any(scope.split(":")[1] == wanted[0] and wanted[1] in (scope.split(":")[2], "pull") for scope in scopes)

    # ---- manifests ----

    def manifests(self, reference):
        if self.command == "PUT":
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.fault == "keeps" and reference == "kept":
                return self.error(409, "DENIED")
            if self.fault == "busy" and self.first("manifest"):
                return self.answer(503)
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            for name in (reference, digest):
                manifests[self.repository, name] = (self.headers["Content-Type"], body)
            if self.fault == "moved":
                manifests[self.repository, reference] = ("x/y", b"{}")
            return self.answer(201, Location="/v2/%s/manifests/%s" % (self.repository, digest))
        if self.command == "HEAD" and self.fault == "nohead":
            return self.answer(405)
        found = manifests.get((self.repository, reference))
        if not found:
            return self.error(404, "MANIFEST_UNKNOWN")
        headers = {"Content_Type": found[0], "Docker_Content_Digest": "sha256:" + hashlib.sha256(found[1]).hexdigest()}
        if self.fault == "nodigest":
            del headers["Docker_Content_Digest"]
        self.answer(200, found[1], Content_Length=str(len(found[1])), **headers)

    # ---- blobs ----

    def blobs(self, digest):
        blob = blobs.get((self.repository, digest))
        if blob is None:
            return self.error(404, "BLOB_UNKNOWN")
        if self.fault == "redirect" and self.command == "HEAD":
            return self.answer(307, Location="/v2/ok/blobs/" + digest)
        self.answer(200, blob, Content_Length=str(len(blob)))

    def place(self, name):
        path = "/v2/%s/blobs/uploads/%s?state=%d" % (self.repository, name, len(uploads[name]))
        return {"proxy": "https://127.0.0.1:1" + path, "elsewhere": "http://localhost" + path,
                "file": "file://" + path, "nolocation": ""}.get(self.fault, path)

    def blobs_uploads(self, name):
        if self.command == "POST":
            mount, other = self.query.get("mount", [""])[0], self.query.get("from", [""])[0]
            if self.fault == "nomount" and mount:
                return self.error(503, "UNAVAILABLE")
            if (other, mount) in blobs:
                blobs[self.repository, mount] = blobs[other, mount]
                return self.answer(201, Location="/")
            if self.fault == "busy" and self.first("post"):
                return self.error(429, "TOOMANYREQUESTS", Retry_After="1")
            with lock:
                name = "upload-%d" % len(uploads)
                uploads[name] = b""
            return self.answer(202, Location=self.place(name), Range="0-0")
        if self.command == "GET":
            if name not in uploads:
                return self.error(404, "BLOB_UPLOAD_UNKNOWN")
            headers = {} if self.fault == "norange" else {"Range": "0-%d" % max(0, len(uploads[name]) - 1)}
            return self.answer(204, Location=self.place(name), **headers)
        size = int(self.headers.get("Content-Length", 0))
        if self.command == "PATCH":
            return self.patch(name, size)
        self.put(name, self.rfile.read(size))

    def patch(self, name, size):
        start = int((self.headers.get("Content-Range") or "0-").split("-")[0])
        if size > CUT and self.fault in ("break", "norange") and self.first("patch"):
            uploads[name] += self.rfile.read(CUT)
            self.cut()
        if self.fault == "forgetful" and size > CUT // 2:
            # Each session gets so far, and is gone when it should go on.
            if start:
                uploads.pop(name)
            else:
                uploads[name] += self.rfile.read(CUT)
            self.cut()
        body = self.rfile.read(size)
        if self.fault == "crumbs" and size > 1000:
            uploads[name] += body[:1000]
            self.cut()
        if self.fault == "expired" and self.first("patch"):
            uploads.pop(name)
        if name not in uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN")
        if start != len(uploads[name]) or self.fault == "unsteady" and self.first("patch"):
            return self.answer(416, Location=self.place(name), Range="0-%d" % max(0, len(uploads[name]) - 1))
        uploads[name] += body
        self.answer(202, Location=self.place(name), Range="0-%d" % max(0, len(uploads[name]) - 1))

    def put(self, name, body):
        digest = self.query["digest"][0]
        if name not in uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN")
        blob = uploads.pop(name) + body
        if digest != "sha256:" + hashlib.sha256(blob).hexdigest() or self.fault == "wrong":
            return self.error(400, "DIGEST_INVALID")
        blobs[self.repository, digest] = blob
        if self.fault in ("redirect", "ok"):
            blobs["ok", digest] = blob
        if self.fault == "lost" and self.first("put"):
            self.cut()
        self.answer(201, Location="/v2/%s/blobs/%s" % (self.repository, digest))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", 0), Handler)
with open(directory + "/port.new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(directory + "/port.new", directory + "/port")
server.serve_forever()
