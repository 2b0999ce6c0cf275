#!/usr/bin/env python3
"""An engine's socket behind TLS, for who has a certificate: tls_engine.py DIR PORT ENGINE_SOCKET [ADDRESS].

DIR holds ca.pem, server.pem and server-key.pem; with '-' there is no TLS.
"""
import socket
import ssl
import sys
import threading

directory, port, engine = sys.argv[1], int(sys.argv[2]), sys.argv[3]
address = sys.argv[4] if len(sys.argv) > 4 else "127.0.0.1"
context = None
if directory != "-":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/server.pem", f"{directory}/server-key.pem")
    context.load_verify_locations(f"{directory}/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(plain):
    try:
        client = context.wrap_socket(plain, server_side=True) if context else plain
    except (OSError, ssl.SSLError):
        return
    upstream = socket.socket(socket.AF_UNIX)
    upstream.connect(engine)
    threading.Thread(target=pump, args=(client, upstream), daemon=True).start()
    pump(upstream, client)


listener = socket.create_server((address, port))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
