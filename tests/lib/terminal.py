"""A person at a terminal: runs a command with one of its own, and does what the words say.

terminal.py WORD... -- COMMAND...

Words: send=TEXT (with \\n, \\x03 and the like), expect=REGEX (ten seconds at the most; what has come before it is
taken), resize=ROWSxCOLUMNS, signal=NAME (to the command), size=ROWSxCOLUMNS (at the beginning).
What the command writes goes to stdout. The exit status is the command's (128 and the signal), 99 when what was
expected did not come, and 98 when the terminal was not afterwards what it had been.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

WAIT = 10


def set_size(fd, text):
    rows, columns = map(int, text.split("x"))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Person:
    def __init__(self, master, child):
        self.master, self.child, self.seen = master, child, b""

    def read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            text = os.read(self.master, 65536)
        except OSError:
            return None
        os.write(1, text)
        if b"\x1b[6n" in text:  # where is the cursor?
            os.write(self.master, b"\x1b[1;1R")
        self.seen += text
        return bool(text) or None

    def expect(self, pattern):
        end = time.monotonic() + WAIT
        while True:
            found = re.search(pattern.encode(), self.seen)
            if found:
                self.seen = self.seen[found.end():]
                return True
            if time.monotonic() > end or self.read(0.2) is None:
                sys.stderr.write(f"\nnever seen: {pattern!r}\n")
                return False

    def do(self, word):
        verb, _, rest = word.partition("=")
        if verb == "send":
            os.write(self.master, rest.encode().decode("unicode_escape").encode())
        elif verb == "expect":
            return self.expect(rest)
        elif verb in ("resize", "size"):
            set_size(self.master, rest)
        elif verb == "signal":
            os.kill(self.child, getattr(signal, "SIG" + rest))
        else:
            sys.exit(f"no such word: {word}")
        return True


def start(command, size, other):
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        os.setsid()
        fcntl.ioctl(other, termios.TIOCSCTTY, 0)
        for fd in range(3):
            os.dup2(other, fd)
        os.read(ready, 1)
        os.execvp(command[0], command)
    if size:
        set_size(other, size)
    os.close(ready)
    os.close(go)
    return child


def main():
    end = sys.argv.index("--")
    words, command = sys.argv[1:end], sys.argv[end + 1:]
    sizes = [word[5:] for word in words if word.startswith("size=")]
    master, other = pty.openpty()
    before = termios.tcgetattr(other)
    person = Person(master, start(command, sizes[0] if sizes else "24x80", other))
    ok = all(person.do(word) for word in words)
    if not ok:
        os.kill(person.child, signal.SIGKILL)
    # This side of it is open, so that the terminal has no end: who waits for the command reads what comes.
    end = time.monotonic() + WAIT
    while True:
        pid, status = os.waitpid(person.child, os.WNOHANG)
        if pid:
            break
        if ok and time.monotonic() > end:
            sys.stderr.write("\nit does not end\n")
            os.kill(person.child, signal.SIGKILL)
            ok = False
        person.read(0.02)
    while person.read(0):
        pass
    after = termios.tcgetattr(other)
    if not ok:
        sys.exit(99)
    if before != after:
        sys.stderr.write(f"\nthe terminal is another one:\n{before}\n{after}\n")
        sys.exit(98)
    sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


main()
