"""The part of the Kubernetes API that runs need, over HTTP on loopback, with processes as pods.

A Job is checked against the client's models and refused if the cluster would refuse it. Its one pod
is a process of this machine: with a home folder of its own, the environment and the files that its
ConfigMaps and Secrets give it, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from smallcaps_assets_tests.kubernetes_models import problems

TOKEN = "a-secret-of-the-cluster"
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>batch))/v1/namespaces/(?P<space>[^/]+)"
    r"/(?P<resource>jobs|pods|events)(?:/(?P<name>[^/]+))?(?:/(?P<part>status|log))?"
)
_REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound",
            409: "AlreadyExists", 503: "ServiceUnavailable"}  # fmt: skip
_GRACE = 10.0


class Refused(Exception):  # noqa: N818 - an answer
    """An answer other than 200: its status and message."""


@dataclass
class Image:
    """What a container's image is made of here: its command, variables and working folder."""

    name: str
    entrypoint: list[str]
    variables: Mapping[str, str]
    folder: str = "/srv/smallcaps"


@dataclass
class Pod:
    """A Job and its pod: a process, or the reason why there is none."""

    job: dict[str, Any]
    name: str
    folder: Path
    since: str
    process: subprocess.Popen[bytes] | None = None
    waits_for: tuple[str, str] = ("", "")
    is_deleted = False

    def is_there(self, resource: str) -> bool:
        """Whether it is still listed: a Job is gone when it is deleted, its pod when that ends."""
        is_over = self.process is None or self.process.poll() is not None
        return not self.is_deleted or (resource == "pods" and not is_over)

    @property
    def exit_code(self) -> int | None:
        """As a container's: 137 after SIGKILL."""
        code = None if self.process is None else self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """Send a signal to all its processes."""
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def end(self) -> None:
        """SIGTERM, and SIGKILL if that does not end it in time."""
        self.signal(signal.SIGTERM)
        late = threading.Timer(_GRACE, self.signal, [signal.SIGKILL])
        late.daemon = True
        late.start()

    def log(self) -> str:
        """What it has printed."""
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def as_job(self) -> dict[str, Any]:
        """Its Job, with the state."""
        code = self.exit_code
        count = "active" if code is None else "failed" if code else "succeeded"
        return {**self.job, "status": {"startTime": self.since, count: 1}}

    def as_pod(self) -> dict[str, Any]:
        """The pod itself, with its state."""
        template, code = self.job["spec"]["template"], self.exit_code
        if self.process is None:
            phase, state = "Pending", {"waiting": dict(zip(_WAIT, self.waits_for, strict=True))}
        elif code is None:
            phase, state = "Running", {"running": {"startedAt": self.since}}
        else:
            reason = "Error" if code else "Completed"
            phase = "Failed" if code else "Succeeded"
            state = {"terminated": {"exitCode": code, "reason": reason}}
        container = template["spec"]["containers"][0]
        told = {"name": container["name"], "image": container["image"], "imageID": "",
                "ready": phase == "Running", "restartCount": 0, "state": state}  # fmt: skip
        labels = {**template["metadata"]["labels"], "job-name": self.job["metadata"]["name"]}
        return {
            "metadata": {"name": self.name, "labels": labels},
            "spec": template["spec"],
            "status": {"phase": phase, "containerStatuses": [told]},
        }


_WAIT = ("reason", "message")


class Cluster:
    """A namespace. `objects` are its ConfigMaps and Secrets, `rules` what its caller may do.

    While `is_out`, everything is answered by 503.
    """

    def __init__(
        self, folder: Path, namespace: str, image: Image, objects: list[dict[str, Any]],
        rules: list[dict[str, Any]],
    ) -> None:  # fmt: skip
        self.folder, self.namespace, self.image = folder, namespace, image
        self.objects = {(found["kind"], found["metadata"]["name"]): found for found in objects}
        self.rules, self.is_out = rules, False
        self.pods: dict[str, Pod] = {}
        self.url = ""

    def kubeconfig(self) -> Path:
        """A file that names this cluster, with the token that it asks for."""
        return kubeconfig(self.folder, self.url, TOKEN)

    def answer(self, method: str, address: str, token: str, body: Any) -> dict[str, Any] | str:
        """What the API says to a request. Raises Refused."""
        parts = urlsplit(address)
        found = _PATH.fullmatch(parts.path)
        if self.is_out:
            raise Refused(503, "the server is currently unable to handle the request")
        if token != f"Bearer {TOKEN}":
            raise Refused(401, "Unauthorized")
        if found is None or found["space"] != self.namespace:
            raise Refused(404, f"there is no {parts.path}")
        verb = {"POST": "create", "DELETE": "delete"}.get(
            method, "get" if found["name"] else "list"
        )
        self._authorize(verb, found)
        if verb == "create":
            return self._create(body)
        if verb == "list":
            return self._list(found["resource"], parse_qs(parts.query))
        return self._one(verb, found["resource"], found["name"], found["part"])

    def _authorize(self, verb: str, found: re.Match[str]) -> None:
        resource = "/".join(filter(None, (found["resource"], found["part"])))
        asked = {"apiGroups": found["group"] or "", "resources": resource, "verbs": verb}
        if any(all(asked[name] in rule[name] for name in asked) for rule in self.rules):
            return
        raise Refused(403, f"may not {verb} {resource}")

    def _create(self, job: Any) -> dict[str, Any]:
        wrong = problems(job)
        if wrong or job["kind"] != "Job":
            raise Refused(400, f"strict decoding error: {'; '.join(wrong)}")
        name = job["metadata"]["name"]
        if name in self.pods:
            raise Refused(409, f'jobs.batch "{name}" already exists')
        pod_name = f"{name}-{secrets.token_hex(3)[:5]}"
        folder = self.folder / pod_name
        folder.mkdir()
        self.pods[name] = pod = Pod(job, pod_name, folder, datetime.now(UTC).isoformat())
        self._start(pod)
        return pod.as_job()

    def _list(self, resource: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        asked = [query[name][0] for name in ("labelSelector", "fieldSelector") if name in query]
        wanted = asked[0].partition("=")[2] if asked else None
        chosen = [
            pod.as_job() if resource == "jobs" else pod.as_pod()
            for name, pod in self.pods.items()
            if wanted in (None, name, pod.name) and pod.is_there(resource)
        ]
        return {"metadata": {}, "items": [] if resource == "events" else chosen}

    def _one(self, verb: str, resource: str, name: str, part: str | None) -> dict[str, Any] | str:
        pod = next((p for n, p in self.pods.items() if name in (n, p.name)), None)
        if pod is None or not pod.is_there(resource):
            raise Refused(404, f'{resource} "{name}" not found')
        if verb == "delete":
            pod.end()
            pod.is_deleted = pod.is_deleted or resource == "jobs"
            return {"kind": "Status", "status": "Success"}
        if part == "log":
            return pod.log()
        return pod.as_job() if resource == "jobs" else pod.as_pod()

    def _start(self, pod: Pod) -> None:
        spec = pod.job["spec"]["template"]["spec"]
        container = spec["containers"][0]
        if container["image"] != self.image.name:
            pod.waits_for = ("ErrImagePull", f"no image {container['image']}")
            return
        try:
            variables = self._variables(container)
            self._mount(container, spec.get("volumes", []), pod.folder)
        except KeyError as missing:
            pod.waits_for = ("CreateContainerConfigError", f"{missing.args[0]} not found")
            return
        own = {"PATH": os.environ["PATH"], "HOME": str(pod.folder), "HOSTNAME": pod.name}
        command = container.get("command") or self.image.entrypoint
        with (pod.folder / "log").open("wb") as log:
            pod.process = subprocess.Popen(
                [*command, *container.get("args", [])],
                env={**own, **self.image.variables, **variables},
                cwd=pod.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _variables(self, container: Mapping[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom") or []:
            for kind in ("ConfigMap", "Secret"):
                reference = source.get(f"{kind[0].lower()}{kind[1:]}Ref")
                found |= self._values(kind, reference["name"]) if reference else {}
        for variable in container.get("env") or []:
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            values = self._values("Secret", reference["name"]) if reference else {}
            key = reference["key"] if reference else ""
            found[variable["name"]] = values[key] if reference else variable.get("value", "")
        return found

    def _values(self, kind: str, name: str) -> dict[str, str]:
        kept = self.objects[kind, name]
        return kept["data" if kind == "ConfigMap" else "stringData"]

    def _mount(
        self, container: Mapping[str, Any], volumes: list[dict[str, Any]], folder: Path
    ) -> None:
        maps = {volume["name"]: volume["configMap"]["name"] for volume in volumes}
        for mount in container.get("volumeMounts") or []:
            text = self._values("ConfigMap", maps[mount["name"]])[mount["subPath"]]
            (folder / Path(mount["mountPath"]).relative_to(self.image.folder)).write_text(text)


def kubeconfig(folder: Path, address: str, token: str) -> Path:
    """A file that names a cluster and the token that it is asked with."""
    named = {"clusters": [{"name": "here", "cluster": {"server": address}}],
             "users": [{"name": "me", "user": {"token": token}}],
             "contexts": [{"name": "now", "context": {"cluster": "here", "user": "me"}}],
             "current-context": "now"}  # fmt: skip
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(named))
    return file


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else None
            token = self.headers.get("Authorization", "")
            status = 200
            try:
                said = cluster.answer(self.command, self.path, token, body)
            except Refused as refusal:
                status, message = refusal.args
                said = {"kind": "Status", "status": "Failure", "message": message,
                        "reason": _REASONS[status], "code": status}  # fmt: skip
            is_text = isinstance(said, str)
            sent = (said if is_text else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if is_text else "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815 - names of the base class

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing is printed."""

    return Handler


@contextmanager
def served(cluster: Cluster) -> Iterator[Cluster]:
    """Answer for a cluster; at the end no process of its pods is left."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster)) as server:
        server.daemon_threads = True
        cluster.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield cluster
        finally:
            server.shutdown()
            for pod in [*cluster.pods.values()]:
                pod.signal(signal.SIGKILL)
                if pod.process is not None:
                    pod.process.wait(20)
