#!/usr/bin/env python3
"""contacts.py PORT FILE: listens on the loopback, and adds a line to FILE for each packet and connection."""

import selectors
import socket
import sys

KINDS = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}

port, path = int(sys.argv[1]), sys.argv[2]
selector = selectors.DefaultSelector()
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    for kind, name in KINDS.items():
        listener = socket.socket(family, kind)
        listener.bind((address, port))
        if kind == socket.SOCK_STREAM:
            listener.listen()
        selector.register(listener, selectors.EVENT_READ, f"{address} {name}")


def note(line):
    with open(path, "a", encoding="ascii") as file:
        print(line, file=file)


note("listening")
while True:
    for key, _ in selector.select():
        if key.fileobj.type == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:
            key.fileobj.recv(64)
        note(key.data)
