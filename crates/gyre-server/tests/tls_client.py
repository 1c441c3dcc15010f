"""Clients of the protocols over TLS, as they are, on one port.

usage: tls_client.py PORT AUTHORITY.pem; prints the names of the checks that passed, one a line.
"""

import os
import sys

import mlflow
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

PORT, AUTHORITY = sys.argv[1:]
ADDRESS = f"localhost:{PORT}"

client = triton_http.InferenceServerClient(ADDRESS, ssl=True, ssl_options={"ca_certs": AUTHORITY}, insecure=False)
assert client.is_server_ready() and client.is_model_ready("demand")
print("triton-http")
client = triton_grpc.InferenceServerClient(ADDRESS, ssl=True, root_certificates=AUTHORITY)
assert client.is_server_ready() and client.is_model_ready("demand")
assert client.get_model_metadata("demand").name == "demand"
print("triton-grpc")

answer = requests.get(f"https://{ADDRESS}/v2/health/ready", verify=AUTHORITY, timeout=10)
assert answer.json() == {"live": True, "ready": True}, answer.text
assert answer.headers["strict-transport-security"].startswith("max-age="), answer.headers
print("requests")
try:
    requests.get(f"https://{ADDRESS}/v2/health/ready", timeout=10)
except requests.exceptions.SSLError:
    print("requests without the authority is refused")
told = requests.get(f"http://{ADDRESS}/v2/health/ready", timeout=10)
assert told.status_code == 400 and "https://" in told.text, told.text
print("plain text is told")

os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = AUTHORITY
mlflow.set_tracking_uri(f"https://{ADDRESS}")
with mlflow.start_run() as run:
    mlflow.log_metric("loss", 0.5)
assert mlflow.get_run(run.info.run_id).data.metrics == {"loss": 0.5}
print("mlflow")
