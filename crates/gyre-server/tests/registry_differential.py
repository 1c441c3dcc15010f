"""Sends the same requests to gyre and to MLflow's own server, and compares what they answer.

Usage: registry_differential.py URL

MLflow's server is the real one of the `mlflow` package, on SQLite in a temporary folder, listening on a port of the
system's choice. Compared are the status, the error code and the JSON, in which moments are reduced to whether something
changed since it was created, and lists whose order means nothing are sorted. Where the two are meant to differ, the
step says so and why, and it is an error when they do not.
"""

import base64
import json
import os
import sys
import tempfile
import threading

FOLDER = tempfile.TemporaryDirectory()
os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{FOLDER.name}/mlflow.db"
os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = f"{FOLDER.name}/artifacts"
os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{FOLDER.name}/mlflow.db"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS"] = "true"

import logging

import requests
from werkzeug.serving import make_server

logging.disable(logging.CRITICAL)
from mlflow.server import app

SESSION = requests.Session()
SESSION.trust_env = False
TOKEN = "\0the token of the answer before"
ID = "\0the id of the webhook before"
PROMPT = "mlflow.prompt.is_prompt"


def steps():
    """(method, path, fields), and why the two differ where they are meant to."""
    models, versions = "registered-models", "model-versions"

    def create(name, **fields):
        return ("POST", f"{models}/create", {"name": name, **fields})

    def get(name):
        return ("GET", f"{models}/get", {"name": name})

    def version(name, source="s3://bucket/model", **fields):
        return ("POST", f"{versions}/create", {"name": name, "source": source, **fields})

    def get_version(name, number):
        return ("GET", f"{versions}/get", {"name": name, "version": number})

    def search(filter=None, **fields):
        return ("GET", f"{models}/search", {**({} if filter is None else {"filter": filter}), **fields})

    def find(filter=None, **fields):
        return ("GET", f"{versions}/search", {**({} if filter is None else {"filter": filter}), **fields})

    def alias(name, alias, number):
        return ("POST", f"{models}/alias", {"name": name, "alias": alias, "version": number})

    def stage(name, number, stage, **fields):
        return ("POST", f"{versions}/transition-stage", {"name": name, "version": number, "stage": stage, **fields})

    # Empty.
    yield search()
    yield find()
    yield get("none")
    yield get("")
    yield ("GET", f"{models}/get", {})
    # Models.
    yield create("m")
    yield create("m")
    yield create("with space", description="words", tags=[{"key": "a", "value": "1"}, {"key": "a", "value": "2"}])
    yield create("empty", description="", tags=[{"key": "b"}])
    yield create("unicode-é", tags=[{"key": "k", "value": "ü"}])
    yield create("x" * 256)
    yield ("DELETE", f"{models}/delete", {"name": "x" * 256})
    for bad in ["", "  ", "a/b", "a:b", "..", "."]:
        yield create(bad)
    yield ("POST", f"{models}/create", {})
    yield create("t1", tags=[{"key": "x" * 251, "value": "v"}])
    yield create("t2", tags=[{"key": "k", "value": "v" * 100_001}])
    yield create("t3", tags=[{"key": "a//b", "value": "v"}])
    yield create("t4", tags=[{"key": "a'b", "value": "v"}])
    yield create("long", tags=[{"key": "k", "value": "v" * 100_000}, {"key": "k" * 250, "value": ""}])
    yield get("long")
    yield ("DELETE", f"{models}/delete", {"name": "long"})
    yield get("long")
    yield ("DELETE", f"{models}/delete", {"name": "long"})
    yield get("with space")
    yield get("empty")
    yield ("PATCH", f"{models}/update", {"name": "m", "description": "new words"})
    yield ("PATCH", f"{models}/update", {"name": "m"})
    yield ("PATCH", f"{models}/update", {"name": "none", "description": "x"})
    yield ("PATCH", f"{models}/update", {"name": "m", "description": "é" * 1000})
    yield get("m")
    # Tags of models.
    yield ("POST", f"{models}/set-tag", {"name": "m", "key": "team", "value": "red"})
    yield ("POST", f"{models}/set-tag", {"name": "m", "key": "team", "value": "Red"})
    yield ("POST", f"{models}/set-tag", {"name": "m", "key": "none"})
    yield ("POST", f"{models}/set-tag", {"name": "m", "value": "x"})
    yield ("POST", f"{models}/set-tag", {"name": "none", "key": "team", "value": "red"})
    yield ("POST", f"{models}/set-tag", {"name": "m", "key": "x" * 251, "value": "red"})
    yield ("POST", f"{models}/set-tag", {"name": "m", "key": "../x", "value": "red"})
    yield get("m")
    yield ("DELETE", f"{models}/delete-tag", {"name": "m", "key": "none"})
    yield ("DELETE", f"{models}/delete-tag", {"name": "m", "key": "never there"})
    yield ("DELETE", f"{models}/delete-tag", {"name": "none", "key": "x"})
    yield ("DELETE", f"{models}/delete-tag", {"name": "m"})
    yield get("m")
    # Versions.
    yield version("m")
    yield version("m", run_id="r1", run_link="https://ci/1", description="d", tags=[{"key": "k", "value": "v"}])
    yield version("m", source="gs://bucket/other")
    yield version("none")
    yield version("m", source="")
    yield ("POST", f"{versions}/create", {"name": "m"})
    yield version("m", tags=[{"key": "x" * 251, "value": "v"}])
    yield version("with space", source="dbfs:/models/x")
    yield version("unicode-é", source="models:/m/2")
    yield version("unicode-é", source="models:/m/latest")
    yield version("unicode-é", source="models:/m/2", run_id="r1")
    yield version("unicode-é", source="models:/m/2", run_id="another")
    yield version("unicode-é", source="models:/m/77")
    yield version("unicode-é", source="models:/none/1")
    yield version("unicode-é", source="models:/m/None")
    yield version("m", source="runs:/r1/model", run_id="r1")
    for source in [
        "/etc/passwd", "file:///etc/passwd", "file://localhost/etc", "relative", "dummy-source", "./x",
        "mlflow-artifacts:/../../etc", "mlflow-artifacts:/0/%2e%2e/x", "mlflow-artifacts:/0/r1/artifacts",
        "s3://bucket/a/../b", "s3://bucket", "http://169.254.169.254/x", "https://example.com/x", "ftp://host/x",
        "hdfs://host/x", "abfss://a@b/c", "mlflow-artifacts://host/x", "runs:/r1/model", "runs:/r1/../r2",
        "models:/", "models://host/m/1", "models:/m/1/2", "models:/m-0123", "s3://bucket/%252e%252e/x",
    ]:
        yield version("m", source=source)
    yield version("m", source="runs:/r1/model", run_id="r2")
    for number in ["1", "2", "3", "4", "x", "-1", "", "1.5"]:
        yield get_version("m", number)
    yield (*get_version("m", "9" * 20), "a number that no version has is not found; MLflow's database overflows (500)")
    yield get_version("none", "1")
    yield ("GET", f"{versions}/get", {"name": "m"})
    yield get_version("unicode-é", "1")
    for number in ["1", "2", "77"]:
        yield ("GET", f"{versions}/get-download-uri", {"name": "m", "version": number})
    yield ("GET", f"{versions}/get-download-uri", {"name": "unicode-é", "version": "1"})
    yield get("m")
    yield ("PATCH", f"{versions}/update", {"name": "m", "version": "1", "description": "words"})
    yield ("PATCH", f"{versions}/update", {"name": "m", "version": "1"})
    yield ("PATCH", f"{versions}/update", {"name": "m", "version": "2", "description": ""})
    yield ("PATCH", f"{versions}/update", {"name": "m", "version": "77", "description": "x"})
    yield ("POST", f"{versions}/set-tag", {"name": "m", "version": "1", "key": "k", "value": "w"})
    yield ("POST", f"{versions}/set-tag", {"name": "m", "version": "1", "key": "a/b", "value": ""})
    yield ("POST", f"{versions}/set-tag", {"name": "m", "version": "77", "key": "k", "value": "w"})
    yield ("POST", f"{versions}/set-tag", {"name": "m", "version": "x", "key": "k", "value": "w"})
    yield ("POST", f"{versions}/set-tag", {"name": "m", "version": "1", "key": "k", "value": "v" * 100_001})
    yield get_version("m", "1")
    yield ("DELETE", f"{versions}/delete-tag", {"name": "m", "version": "1", "key": "a/b"})
    yield ("DELETE", f"{versions}/delete-tag", {"name": "m", "version": "1", "key": "never"})
    yield ("DELETE", f"{versions}/delete-tag", {"name": "m", "version": "77", "key": "k"})
    yield get_version("m", "1")
    # Stages.
    yield stage("m", "1", "Staging")
    yield stage("m", "2", "production")
    yield stage("m", "3", "PRODUCTION")
    yield stage("m", "1", "nonsense")
    yield stage("m", "77", "Staging")
    yield ("POST", f"{versions}/transition-stage", {"name": "m", "version": "1"})
    yield get("m")
    yield ("POST", f"{models}/get-latest-versions", {"name": "m"})
    yield ("POST", f"{models}/get-latest-versions", {"name": "m", "stages": ["Staging", "none"]})
    yield ("GET", f"{models}/get-latest-versions", {"name": "m", "stages": ["Production"]})
    yield ("POST", f"{models}/get-latest-versions", {"name": "m", "stages": ["x"]})
    yield ("POST", f"{models}/get-latest-versions", {"name": "none"})
    yield ("POST", f"{models}/get-latest-versions", {"name": "empty"})
    yield stage("m", "1", "Production", archive_existing_versions=True)
    yield get_version("m", "2")
    yield get_version("m", "3")
    yield get("m")
    # Aliases.
    yield alias("m", "prod", "1")
    yield alias("m", "prod", "2")
    yield alias("m", "Best_1-x", "2")
    for bad in ["", "a b", "a@b", "latest", "LATEST", "v1", "V22", "a" * 256]:
        yield alias("m", bad, "1")
    yield alias("m", "v1x", "1")
    yield alias("m", "ok", "77")
    yield alias("m", "ok", "x")
    yield alias("none", "ok", "1")
    for name, asked in [("m", "prod"), ("m", "latest"), ("m", "Latest"), ("m", "none"), ("none", "prod"), ("empty", "latest"), ("m", "")]:
        yield ("GET", f"{models}/alias", {"name": name, "alias": asked})
    yield get("m")
    yield get_version("m", "2")
    yield ("DELETE", f"{models}/alias", {"name": "m", "alias": "Best_1-x"})
    yield ("DELETE", f"{models}/alias", {"name": "m", "alias": "never"})
    yield ("DELETE", f"{models}/alias", {"name": "none", "alias": "prod"})
    yield version("with space", source="models:/m@prod")
    # Searching.
    yield create("greeting", tags=[{"key": PROMPT, "value": "true"}, {"key": "team", "value": "red"}])
    yield version("greeting", source="dummy-source", tags=[{"key": PROMPT, "value": "true"}, {"key": "mlflow.prompt.text", "value": "hi {{x}}"}])
    yield version("greeting", source="s3://bucket/x", tags=[{"key": PROMPT, "value": "true"}])
    yield create("greeting")
    yield ("GET", f"{models}/alias", {"name": "greeting", "alias": "latest"})
    yield search()
    for filter in [
        "name = 'm'", "name='m'", "name = \"m\"", "name != 'm'", "name LIKE 'M%'", "name ILIKE 'M%'", "name LIKE '%e%'",
        "name like 'with%'", "name IN ('m', 'empty')", "name NOT IN ('m')", "name IN ('m')", "attribute.name = 'm'",
        "tags.team = 'Red'", "tag.team = 'Red'", "tags.`team` = 'Red'", "tags.\"team\" = 'Red'", "tags.team != 'x'",
        "tags.team ILIKE 'r%'", "tags.team LIKE 'r%'", "name = 'm' AND tags.team = 'Red'", "name = 'm' and name != 'x'",
        f"tags.`{PROMPT}` = 'true'", f"tags.`{PROMPT}` = 'false'", f"tags.`{PROMPT}` != 'true'",
        f"tags.`{PROMPT}` = 'true' AND tags.team = 'red'", f"tags.`{PROMPT}` = 'true' AND name = 'm'",
        "name > 'm'", "name = m", "nam = 'm'", "name = 'm' OR name = 'x'", "run_id = 'r1'", "name", "name =",
        "params.x = 'y'", "tags.team = 1", "name IN ()", "name = 'm'; name = 'x'", "", "%%%",
    ]:
        yield search(filter)
    for order in [["name DESC"], ["name ASC"], ["timestamp DESC"], ["last_updated_timestamp ASC", "name DESC"], ["name", "name DESC"], ["nonsense"], ["name UP"], ["creation_timestamp"]]:
        if order == ["name", "name DESC"]:
            yield (*search(order_by=order), "MLflow takes a wrong request for its own failure (500)")
        else:
            yield search(order_by=order)
    yield search(max_results=2)
    yield search(max_results=2, page_token=TOKEN)
    yield search(max_results=1, filter="name ILIKE '%E%'")
    yield search(max_results=1, filter="name ILIKE '%E%'", page_token=TOKEN)
    yield (*search(max_results=0), "a page without room is refused, as everywhere else in MLflow")
    yield search(max_results=1001)
    yield search(page_token="nonsense")
    yield search(page_token=base64.b64encode(b"{}").decode())
    yield find()
    for filter in [
        "name = 'm'", "name='m' AND version_number = 1", "version_number > 1", "version_number <= '2'", "version_number != 1",
        "version_number = 1.5", "version_number LIKE '1'", "run_id = 'r1'", "run_id IN ('r1', 'r2')", "run_id NOT IN ('r1')",
        "source_path = 's3://bucket/model'", "source_path LIKE 'S3%'", "source_path ILIKE 'S3%'", "tags.k = 'v'", "tags.k LIKE '%'",
        f"tags.`{PROMPT}` = 'true'", "name LIKE '%m%'", "name ILIKE '%M%' AND run_id = 'r1'", "source = 'x'", "status = 'READY'",
        "name = 'm' OR run_id = 'r1'", "creation_timestamp > 1", "source_path IN ('x')", "tags.k IN ('v')", "run_id > 'a'",
    ]:
        yield find(filter)
    for order in [["version_number ASC"], ["name DESC", "version_number ASC"], ["creation_timestamp DESC"], ["last_updated_timestamp"], ["timestamp"], ["run_id"], ["source_path"]]:
        yield find(order_by=order)
    yield find(max_results=2, order_by=["name", "version_number"])
    yield find(max_results=2, order_by=["name", "version_number"], page_token=TOKEN)
    yield find(max_results=0)
    yield find(max_results=200_001)
    yield find(page_token="nonsense")
    # Renaming and deleting.
    yield ("POST", f"{models}/rename", {"name": "m", "new_name": "empty"})
    yield ("POST", f"{models}/rename", {"name": "m", "new_name": "a/b"})
    yield ("POST", f"{models}/rename", {"name": "m"})
    yield ("POST", f"{models}/rename", {"name": "none", "new_name": "other"})
    yield ("POST", f"{models}/rename", {"name": "m", "new_name": "m2"})
    yield get("m")
    yield get("m2")
    yield get_version("m2", "2")
    yield ("GET", f"{models}/alias", {"name": "m2", "alias": "prod"})
    yield ("DELETE", f"{versions}/delete", {"name": "m2", "version": "2"})
    yield ("DELETE", f"{versions}/delete", {"name": "m2", "version": "2"})
    yield ("DELETE", f"{versions}/delete", {"name": "m2", "version": "x"})
    yield ("DELETE", f"{versions}/delete", {"name": "m2"})
    yield ("GET", f"{models}/alias", {"name": "m2", "alias": "prod"})
    yield find("name = 'm2'")
    yield get("m2")
    yield version("m2")
    yield ("DELETE", f"{versions}/delete", {"name": "m2", "version": "5"})
    yield version("m2")
    yield ("DELETE", f"{models}/delete", {"name": "m2"})
    yield find("name = 'm2'")
    yield ("DELETE", f"{models}/delete", {})
    yield create("m2")
    yield (*version("m2"), "a number is never used again, also after its model was deleted")
    # Webhooks.
    created = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
    hook = {"name": "hook", "url": "https://127.0.0.1:9/x", "events": [created]}
    yield ("GET", "webhooks", {})
    yield ("POST", "webhooks", hook)
    yield ("GET", f"webhooks/{ID}", {})
    yield ("GET", "webhooks/none", {})
    yield ("PATCH", f"webhooks/{ID}", {"description": "words", "status": "DISABLED"})
    yield ("PATCH", f"webhooks/{ID}", {"name": "other", "events": [{"entity": "PROMPT_TAG", "action": "SET"}]})
    yield ("PATCH", f"webhooks/{ID}", {"url": "ftp://127.0.0.1/"})
    yield ("PATCH", "webhooks/none", {"name": "x"})
    yield ("GET", "webhooks", {})
    for wrong in [{"name": "-x"}, {"name": "x" * 64}, {"name": ""}, {"url": ""}, {"url": "ftp://127.0.0.1/"}, {"url": "https://"}, {"events": []}, {"events": [{"entity": "REGISTERED_MODEL", "action": "DELETED"}]}]:
        yield ("POST", "webhooks", {**hook, **wrong})
    yield (*("POST", "webhooks", {**hook, "events": [{"entity": "FOO", "action": "SET"}]}), "MLflow answers HTML (500) to an event that there is not")
    yield ("POST", "webhooks", {**hook, "name": "a.b-c_D", "status": "DISABLED", "secret": "s", "description": "d"})
    yield ("GET", "webhooks", {"max_results": 1})
    yield ("GET", "webhooks", {"max_results": 1, "page_token": TOKEN})
    yield ("GET", "webhooks", {"max_results": 1001})
    yield ("GET", "webhooks", {"max_results": -1})
    yield ("POST", "webhooks/none/test", {})
    yield ("DELETE", f"webhooks/{ID}", {})
    yield ("DELETE", f"webhooks/{ID}", {})
    # What is no request.
    yield create(7)
    yield create(["m"])
    yield create("n1", tags="x")
    yield create("n2", unknown={"x": 1})
    yield get_version("n2", 1)
    yield ("POST", f"{versions}/create", {"name": "n2", "source": 5})
    yield search(max_results="x")


class Peer:
    def __init__(self, url):
        self.base = f"{url.rstrip('/')}/api/2.0/mlflow/"
        self.token = None
        self.webhook = None

    def ask(self, method, path, fields):
        path = path.replace(ID, self.webhook or "")
        fields = {key: self.token if value == TOKEN else value for key, value in fields.items()}
        if method == "GET":
            answer = SESSION.get(self.base + path, params=fields, timeout=30)
        else:
            answer = SESSION.request(method, self.base + path, json=fields, timeout=30)
        try:
            body = answer.json()
        except ValueError:
            body = {"not JSON": answer.text[:200]}
        if isinstance(body, dict) and "next_page_token" in body:
            self.token = body["next_page_token"]
        if method == "POST" and path == "webhooks" and "webhook" in body:
            self.webhook = body["webhook"]["webhook_id"]
        if answer.status_code != 200:
            return answer.status_code, body.get("error_code")
        return answer.status_code, reduced(body)


def reduced(value):
    """`value` without what differs from run to run."""
    if isinstance(value, list):
        return [reduced(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: reduced(item) for key, item in value.items()}
    if "creation_timestamp" in out:
        assert isinstance(out["creation_timestamp"], int), out
        out["changed since"] = out["last_updated_timestamp"] > out.pop("creation_timestamp")
        out.pop("last_updated_timestamp")
    if "webhook_id" in out:
        out["webhook_id"] = "there"
    if "next_page_token" in out:
        out["next_page_token"] = "there"
    if isinstance(out.get("tags"), list):
        out["tags"].sort(key=lambda tag: tag["key"])
    if isinstance(out.get("aliases"), list):
        out["aliases"].sort(key=str)
    if isinstance(out.get("latest_versions"), list):
        out["latest_versions"].sort(key=lambda version: int(version["version"]))
    return out


def main():
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mlflow, gyre = Peer(f"http://127.0.0.1:{server.port}"), Peer(sys.argv[1])
    compared, wrong, answered = 0, 0, 0
    for method, path, fields, *differs in steps():
        theirs, ours = mlflow.ask(method, path, fields), gyre.ask(method, path, fields)
        if path.endswith("get-latest-versions") and theirs[0] == ours[0] == 200:
            for _, body in (theirs, ours):
                body.get("model_versions", []).sort(key=lambda version: int(version["version"]))
        compared += 1
        answered += ours[0] == 200 and ours[1] != {}
        if (theirs == ours) == bool(differs):
            wrong += 1
            shown = json.dumps(fields)[:300]
            print(f"{method} {path} {shown}\n  mlflow {json.dumps(theirs)[:1500]}\n  gyre   {json.dumps(ours)[:1500]}")
            if differs:
                print(f"  were meant to differ: {differs[0]}")
    print(f"{compared} requests compared, {answered} with an answer that says something, {wrong} wrong")
    sys.exit(wrong > 0 or compared < 250 or answered < 100)


main()
