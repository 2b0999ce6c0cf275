"""A registry of no images whose clock is wrong: dated_server.py PORT-FILE SECONDS-AHEAD"""
import email.utils, http.server, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(time.time() + int(sys.argv[2]), usegmt=True)

    def do_GET(self):
        self.send_response(200 if self.path == "/v2/" else 404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1], "w") as file:
    file.write("%d" % server.server_port)
server.serve_forever()
