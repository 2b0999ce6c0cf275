#!/usr/bin/python3
"""Receivers of events that are not up to their task: event_socket.py HOW WHERE [FILE]

WHERE is the path of a unix socket that this listens at. HOW: `all` writes everything to FILE, `slow` too, with
pauses; `gone` reads a little and leaves; `stuck` never reads.
"""
import os
import socket
import sys
import time

how, where = sys.argv[1:3]
listener = socket.socket(socket.AF_UNIX)
listener.bind(where + ".new")
listener.listen()
os.chmod(where + ".new", 0o666)
os.rename(where + ".new", where)
connection, _ = listener.accept()
if how == "stuck":
    time.sleep(60)
elif how == "gone":
    connection.recv(10)
    connection.close()
else:
    with open(sys.argv[3], "wb") as file:
        while data := connection.recv(65536):
            file.write(data)
            if how == "slow":
                time.sleep(0.02)
