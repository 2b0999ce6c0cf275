#!/usr/bin/env python3
"""Times steps as Pods against bare Pods that are created with the API and watched.

usage: pods.py CLUSTER ROUNDS CROWD IMAGE WORKDIR STEPCELL [ARG...]

CLUSTER is a directory of scripts/kubernetes, in whose network this runs; STEPCELL ARG... runs IMAGE's command that
follows. Both contenders run in turn on one node, at a random moment each: a kubelet looks once a second. Then CROWD of
each run at once on both. Prints Markdown. A bare Pod is as a user writes it: the same image and directory, and what the
API adds by itself, a service account's token.
"""
import http.client
import json
import random
import ssl
import statistics
import subprocess
import sys
import threading
import time

MASTER = "10.99.0.1"
PODS = "/api/v1/namespaces/default/pods"
HEADERS = {"Authorization": "Bearer token-of-admin", "Content-Type": "application/json"}


class Bare:
    """One Pod after the other, by two connections that are there before."""

    def __init__(self, cluster, image, workdir):
        self.tls = ssl.create_default_context(cafile=cluster + "/pki/ca.pem")
        self.image, self.workdir = image, workdir
        self.calls = self.connect()

    def connect(self):
        connection = http.client.HTTPSConnection(MASTER, 443, context=self.tls)
        connection.connect()
        return connection

    def call(self, method, path, body):
        self.calls.request(method, path, json.dumps(body), HEADERS)
        answer = self.calls.getresponse()
        content = json.load(answer)
        if answer.status >= 300:
            raise RuntimeError(content)
        return content

    def body(self, name, command):
        return {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "step", "image": self.image, "command": command, "workingDir": self.workdir,
                                "volumeMounts": [{"name": "work", "mountPath": self.workdir}]}],
                "volumes": [{"name": "work", "hostPath": {"path": self.workdir, "type": "Directory"}}],
            },
        }

    def run(self, command):
        """Seconds until it has ended, and until it is gone."""
        name = "bare-%016x" % random.getrandbits(64)
        watch = self.connect()
        begin, ended = time.monotonic(), None
        made = self.call("POST", PODS, self.body(name, command))
        watch.request("GET", "%s?watch=1&fieldSelector=metadata.name%%3D%s&resourceVersion=%s"
                      % (PODS, name, made["metadata"]["resourceVersion"]), headers=HEADERS)
        events = watch.getresponse()
        while True:
            event = json.loads(events.readline())
            phase = event["object"]["status"].get("phase")
            if event["type"] == "DELETED":
                watch.close()
                return ended, time.monotonic() - begin
            if phase in ("Succeeded", "Failed") and not ended:
                ended = time.monotonic() - begin
                if phase == "Failed":
                    raise RuntimeError(event)
                self.call("DELETE", PODS + "/" + name, {"gracePeriodSeconds": 1})


def step(words):
    begin = time.monotonic()
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def ms(seconds):
    return "%.0f" % (1000 * seconds)


def pairs(bare, stepcell, rounds, command):
    ended, gone, steps = [], [], []
    for number in range(rounds + 1):
        order = [True, False]
        random.shuffle(order)
        for is_bare in order:
            time.sleep(random.random())
            if is_bare:
                one, other = bare.run(command)
                ended.append(one)
                gone.append(other)
            else:
                steps.append(step(stepcell + command))
        if number == 0:  # everything warm
            ended, gone, steps = [], [], []
    text = " ".join(command)
    base = statistics.median(gone)
    for what, times in (("until it has ended", ended), ("until it is gone", gone)):
        print("| a bare Pod of `%s`, %s | %s | %s | %s | %.2f |" % (
            text, what, ms(statistics.median(times)), ms(min(times)), ms(max(times)),
            statistics.median(times) / base))
    print("| `stepcell run` of it | %s | %s | %s | %.2f |" % (
        ms(statistics.median(steps)), ms(min(steps)), ms(max(steps)), statistics.median(steps) / base), flush=True)


def kubectl(*words):
    subprocess.run(["kubectl", *words], check=True, stdout=sys.stderr)


def crowd(count, work):
    """Seconds until all have ended, and how many failed."""
    failures = []

    def one():
        try:
            work()
        except Exception as error:  # whatever it is, it is counted
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - begin, len(failures)


def main():
    cluster, rounds, count, image, workdir = sys.argv[1:6]
    stepcell = sys.argv[6:]
    bare = Bare(cluster, image, workdir)
    print("| %s rounds | median ms | min | max | times the bare Pod |\n| --- | --: | --: | --: | --: |" % rounds)
    kubectl("cordon", "n2")
    for command in (["true"], ["sleep", "2"]):
        pairs(bare, stepcell, int(rounds), command)
    kubectl("uncordon", "n2")
    print("\n| %s at once | seconds | failed |\n| --- | --: | --: |" % count)
    print("| bare Pods | %.1f | %d |" % crowd(int(count), lambda: Bare(cluster, image, workdir).run(["true"])))
    print("| `stepcell run` | %.1f | %d |" % crowd(int(count), lambda: step(stepcell + ["true"])))


main()
