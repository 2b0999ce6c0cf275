#!/usr/bin/python3
"""A registry with faults: the repository's name says which one.

usage: fault_server.py DIRECTORY [--tls CERT KEY] [--other URL] [--bind ADDRESS] [--upstream URL]

Serves the blob DIRECTORY/blob under any digest. Writes its port to DIRECTORY/port once it listens, and
one JSON line for each request to DIRECTORY/log. URL is another origin, to which redirects lead. With an
upstream it hands on what that registry answers, with the faults that DIRECTORY/faults names: `flip` of a
byte of blobs, `flip-first` of one layer, with 429 for all others, `break` of the first answer for each,
`limit` and `away` of the first request for each, `slow` of blobs that are not small, `warn`, `pages` of
100 tags.
"""
import base64, email.utils, hashlib, http.server, json, os, socket, ssl, sys, threading, time
import urllib.error, urllib.parse, urllib.request

directory = sys.argv[1]
options = sys.argv[2:]
other = options[options.index("--other") + 1] if "--other" in options else ""
upstream = options[options.index("--upstream") + 1] if "--upstream" in options else ""
blob = open(directory + "/blob", "rb").read()
manifest = json.dumps({
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
               "digest": "sha256:" + hashlib.sha256(blob).hexdigest(), "size": len(blob)},
    "layers": []}).encode()
index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}
BASIC = "Basic " + base64.b64encode(b"worker:s3cret").decode()
lock = threading.Lock()
seen = {}      # how often each path was asked for
blobs = []     # in the order in which they were asked for
tokens = set()  # given out, and not used up


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def note(self, body=""):
        with lock:
            seen[self.path] = seen.get(self.path, 0) + 1
            with open(directory + "/log", "a") as log:
                log.write(json.dumps({
                    "method": self.command, "path": self.path, "body": body,
                    "authorization": self.headers.get("Authorization", ""),
                    "range": self.headers.get("Range", "")}) + "\n")
            return seen[self.path]

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(name.replace("_", "-"), one)
        if not any(name.lower() in ("content_length", "transfer_encoding") for name in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def cut(self, reset):
        """Ends the connection, or breaks it so that bytes on their way are lost."""
        self.wfile.flush()
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True
        self.connection.close()
        raise ConnectionAbortedError

    def url(self, path):
        return "%s://%s%s" % ("https" if "--tls" in options else "http", self.headers["Host"], path)

    # ---- tokens ----

    def token(self, query):
        form = query.get("form", [""])[0]
        with lock:
            value = "token-%s-%d" % (form, len(seen) + len(tokens) + int(time.time() * 1e6))
            tokens.add(value)
        field = "access_token" if form == "access" else "token"
        if form == "bomb":
            return self.answer(200, b'{"token": "' + b"x" * 1000000 + b'"}')
        if form == "echo":  # an answer that quotes what it got
            return self.answer(200, b"{ " + self.headers.get("Authorization", "").encode())
        if form == "redirect":
            return self.answer(307, Location=other + "/stolen")
        if form == "gone":
            return self.answer(404)
        if form == "busy" and seen[self.path] == 1:
            return self.answer(503)
        self.answer(200, json.dumps({field: value, "expires_in": 60}).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.note(body)
        form = urllib.parse.parse_qs(body)
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if query.get("form", [""])[0] == "nopost":
            return self.answer(404)
        if form.get("grant_type") == ["refresh_token"] and form.get("refresh_token") == ["id&en=tity"]:
            return self.token(query)
        self.answer(401)

    def challenge(self, form):
        def realm(extra=""):
            return '"%s"' % self.url("/token?form=" + form + extra)
        ours = ',service="fault",scope="repository:auth-%s:pull"' % form
        return {
            "basic": ["Basic realm=x"],
            "negotiate": ["Negotiate", 'Basic realm="x"'],
            "joined": ["Bearer realm=" + realm() + ours + ',Basic realm="a, b"'],
            "first": ['Basic realm="x", Bearer realm=' + realm() + ours],
            "noscope": ["Bearer realm=" + realm() + ',service="fault"'],
            "noservice": ["Bearer realm=" + realm()],
            "unquoted": ["Bearer realm=" + realm().strip('"') + ",service=fault"],
            "lower": ["bearer REALM=" + realm() + ' , SERVICE = "fault"'],
            "scopes": ["Bearer realm=" + realm() +
                       ',scope="repository:a:pull repository:auth-scopes:pull,push"'],
            "norealm": ['Bearer realm="no url"', 'Basic realm="x"'],
            "none": [],
            "metadata": ['Bearer realm="http://169.254.169.254/token"'],
            "private": ['Bearer realm="https://10.0.0.1/token"'],
            "file": ['Bearer realm="file:///etc/passwd"'],
            "user": ['Bearer realm="https://a:b@127.0.0.1/token"'],
            "plain": ['Bearer realm="http://tokens.example/token"'],
            "long": ['Bearer realm="https://%s/token"' % ("a" * 10000)],
        }.get(form, ["Bearer realm=" + realm() + ours])

    def allowed(self, form):
        given = self.headers.get("Authorization", "")
        if form in ("basic", "negotiate", "norealm", "none"):
            return given == BASIC
        if form == "registrytoken":
            return given == "Bearer reg-token"
        kind, _, token = given.partition(" ")
        with lock:
            ok = kind == "Bearer" and token in tokens and form != "never"
            if ok and form == "once":
                tokens.discard(token)
        return ok

    # ---- the registry ----

    def do_GET(self):
        count = self.note()
        parts = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(parts.query)
        if parts.path == "/token":
            form = query.get("form", [""])[0]
            if self.headers.get("Authorization") != BASIC and form != "anonymous":
                return self.answer(401)
            return self.token(query)
        if parts.path == "/data":
            return self.whole()
        if parts.path == "/challenge":  # where a redirect leads: this server wants the password, too
            return self.answer(401, WWW_Authenticate=self.challenge("elsewhere"))
        if not parts.path.startswith("/v2/"):
            return self.answer(404)
        if upstream:
            return self.hand_on(count)
        repository, kind, *rest = parts.path[4:].split("/")
        if repository.startswith("auth-") and not self.allowed(repository[5:]):
            return self.answer(401, WWW_Authenticate=self.challenge(repository[5:]))
        if kind == "tags":
            return self.tags(repository, query)
        if kind == "referrers" or rest[0].startswith("sha256-"):
            return self.referrers(repository, kind, query)
        fault = getattr(self, "fault_" + repository.replace("-", "_"), None)
        if fault:
            return fault(count)
        self.normal()

    do_HEAD = do_GET

    def hand_on(self, count):
        faults = open(directory + "/faults").read().split()
        is_blob = "/blobs/" in self.path
        if is_blob and count == 1 and "limit" in faults:
            return self.answer(429, Retry_After="1")
        if is_blob and count == 1 and "away" in faults:
            return self.answer(503)
        if is_blob and "flip-first" in faults:
            with lock:
                if self.path not in blobs:
                    blobs.append(self.path)
            if self.path not in blobs[:2]:  # the configuration, and one layer
                return self.answer(429, Retry_After="30")
        passed = {name: self.headers[name] for name in ("Accept", "Range") if name in self.headers}
        try:
            with urllib.request.urlopen(urllib.request.Request(upstream + self.path, headers=passed, method=self.command)) as answer:
                status, body, given = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return self.answer(error.code, error.read())
        headers = {name.replace("-", "_"): given[name] for name in ("Content-Type", "Content-Range")
                   if name in given}
        if is_blob and ("flip" in faults or "flip-first" in faults) and len(body) > 10000:
            body = body[:len(body) // 2] + bytes([body[len(body) // 2] ^ 255]) + body[len(body) // 2 + 1:]
        if "pages" in faults and "/tags/list" in self.path:
            tags = sorted(json.loads(body)["tags"], reverse=True)
            path, _, query = self.path.partition("?")
            last = urllib.parse.parse_qs(query).get("last", [None])[0]
            start = tags.index(last) + 1 if last else 0
            page = tags[start:start + 100]
            body = json.dumps({"tags": page}).encode()
            if start + 100 < len(tags):
                headers["Link"] = '<%s?last=%s>; rel="next"' % (path, page[-1])
        if not is_blob and "warn" in faults:
            headers["Warning"] = ['299 - "this registry \x1b[31mends soon"', '110 x "not for users"']
        if is_blob and "break" in faults and not self.headers.get("Range") and len(body) > 1000:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:len(body) * 2 // 3])
            self.cut(False)
        if is_blob and "slow" in faults and len(body) > 10000:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for i in range(0, len(body), 1000):
                self.wfile.write(body[i:i + 1000])
                self.wfile.flush()
                time.sleep(0.1)
            return
        self.answer(status, body, **headers)

    def normal(self):
        if "/manifests/" in self.path:
            return self.answer(200, manifest,
                               Content_Type="application/vnd.oci.image.manifest.v1+json")
        start = self.start()
        if not start:
            return self.whole()
        self.answer(206, blob[start:], Content_Range="bytes %d-%d/%d" % (
            start, len(blob) - 1, len(blob)))

    def whole(self):
        self.answer(200, blob)

    def start(self):
        value = self.headers.get("Range", "")
        return int(value[6:].split("-")[0]) if value.startswith("bytes=") else 0

    def part(self, size, reset=False):
        """The blob from where it was asked for, cut after `size` bytes."""
        start = self.start()
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(blob) - start))
        if start:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(blob) - 1, len(blob)))
        self.end_headers()
        self.wfile.write(blob[start:start + size])
        if start + size < len(blob):
            self.cut(reset)

    def fault_limited(self, count):
        return self.answer(429, Retry_After="1") if count <= 2 else self.normal()

    def fault_dated(self, count):
        if count > 1:
            return self.normal()
        self.answer(429, Retry_After=email.utils.formatdate(time.time() + 3, usegmt=True))

    def fault_long(self, _):
        self.answer(429, Retry_After="3600")

    def fault_refusing(self, _):
        self.answer(429)

    def fault_errors(self, count):
        return self.answer([500, 502, 503, 504][count - 1]) if count <= 4 else self.normal()

    def fault_down(self, _):
        self.answer(500, b"\x1b]0;x\x07 ##octopus[x]")

    def fault_stall(self, count):
        if count > 1:
            return self.normal()
        self.send_response(200)
        self.send_header("Content-Length", str(len(blob)))
        self.end_headers()
        self.wfile.write(blob[:100000])
        self.wfile.flush()
        time.sleep(20)

    def fault_silent(self, _):
        time.sleep(20)

    def fault_slow(self, _):
        """Slower than any lowest speed, but never silent."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(blob)))
        self.end_headers()
        self.wfile.write(blob[:-8])
        for i in range(len(blob) - 8, len(blob)):
            self.wfile.write(blob[i:i + 1])
            self.wfile.flush()
            time.sleep(0.5)

    def fault_break(self, _):
        self.part(1200000)

    def fault_crumbs(self, _):
        self.part(1000)

    def fault_reset(self, count):
        return self.part(2000000, True) if count == 1 else self.normal()

    def fault_whole(self, count):
        return self.part(1200000) if count == 1 else self.whole()

    def fault_other_part(self, count):
        start = self.start()
        if count == 1:
            return self.part(1200000)
        self.answer(206, blob[start - 1:], Content_Range="bytes %d-%d/%d" % (
            start - 1, len(blob) - 1, len(blob)))

    def fault_other_end(self, count):
        start = self.start()
        if count == 1:
            return self.part(1200000)
        self.answer(206, blob[start:-5], Content_Range="bytes %d-%d/%d" % (
            start, len(blob) - 6, len(blob)))

    def fault_other_size(self, count):
        start = self.start()
        if count == 1:
            return self.part(1200000)
        self.answer(206, blob[start:], Content_Range="bytes %d-%d/%d" % (
            start, len(blob) - 1, len(blob) + 1))

    def fault_no_range(self, count):
        return self.part(1200000) if count == 1 else self.answer(206, blob[self.start():])

    def fault_no_more(self, count):
        return self.part(1200000) if count == 1 else self.answer(416)

    def fault_unasked(self, _):
        self.answer(206, blob, Content_Range="bytes 0-%d/%d" % (len(blob) - 1, len(blob)))

    def fault_short(self, _):
        start = self.start()
        if start:
            return self.answer(416, Content_Range="bytes */%d" % start)
        self.answer(200, blob[:-10])

    def fault_more(self, _):
        self.answer(200, blob + b"more")

    def fault_flipped(self, _):
        self.answer(200, bytes([blob[0] ^ 255]) + blob[1:])

    def fault_endless(self, _):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        piece = b"[" * 65536
        while True:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def fault_headers(self, _):
        self.send_response(200)
        for i in range(5000):
            self.send_header("X-%d" % i, "x" * 100)
        self.end_headers()

    def fault_away(self, _):
        self.answer(307, Location=other + "/data")

    def fault_lacking(self, _):
        return self.normal() if "/manifests/" in self.path else self.answer(404)

    def fault_lost(self, _):  # on the way
        self.answer(307, Location=other + "/nothing")

    def fault_loop(self, _):
        self.answer(307, Location=self.path)

    def fault_local(self, _):
        self.answer(307, Location="file://" + directory + "/blob")

    def fault_nowhere(self, _):
        self.answer(302)

    def fault_relative(self, _):
        self.answer(307, Location="/data")

    def fault_auth_stalled(self, count):
        if self.headers.get("Range"):
            return self.normal()
        self.fault_stall(1)

    # `auth-away`: a redirect behind a password.
    def fault_auth_away(self, _):
        self.answer(307, Location=other + "/data")

    def fault_auth_challenged(self, _):
        self.answer(307, Location=other + "/challenge")

    # ---- lists ----

    def tags(self, repository, query):
        if repository == "pages-none":
            return self.answer(200, b'{"name": "x", "tags": null}')
        if repository == "pages-refused" and "n" in query:
            return self.answer(405)
        if repository == "pages-loop":
            return self.answer(200, b'{"tags": ["a"]}', Link='</v2/x?last=a>; rel="next"')
        if repository == "pages-endless":
            last = int(query.get("last", ["0"])[0]) + 1
            return self.answer(200, b'{"tags": ["a"]}', Link='<?last=%d>; rel=next' % last)
        last = query.get("last", ["0"])[0]
        pages = {"0": ["b", "a"], "p/1": ["c", "a", "-bad", "x" * 129, "\x1b"], "2": ["d"]}
        following = {"0": "p%2F1", "p/1": "2"}
        body = json.dumps({"tags": pages[last]}).encode()
        if last not in following:
            return self.answer(200, body)
        target = "?last=" + following[last]
        if repository == "pages-host":
            target = other + "/v2/pages-host/tags/list" + target
        elif repository == "pages-prefix":
            target = "/v2/wrong/tags/list" + target
        self.answer(200, body, Link='<https://x/y>; rel="help", <%s>; title="a, b>"; rel="x next"' % target)

    def referrers(self, repository, kind, query):
        def entry(number, artifact):
            return {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": number,
                    "digest": "sha256:" + str(number) * 64, "artifactType": artifact}
        if repository == "refs" and kind == "referrers":
            if "page" in query:
                return self.answer(200, json.dumps({**index, "manifests": [entry(3, "b")]}).encode())
            return self.answer(200, json.dumps({**index, "manifests": [
                entry(1, "a"), entry(2, "b")]}).encode(), Link='<?page=2>; rel="next"')
        if repository == "refs-tag" and kind == "manifests":
            return self.answer(200, json.dumps({**index, "manifests": [entry(4, "a")]}).encode())
        if repository == "refs-image" and kind == "manifests":
            return self.answer(200, manifest)
        if repository == "refs-bad":
            return self.answer(200, b'{"manifests": [{"digest": "sha256:../../x"}]}')
        self.answer(404)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


address = options[options.index("--bind") + 1] if "--bind" in options else "127.0.0.1"
server = Server((address, 0), Handler)
if "--tls" in options:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*options[options.index("--tls") + 1:][:2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(directory + "/port.new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(directory + "/port.new", directory + "/port")
server.serve_forever()
