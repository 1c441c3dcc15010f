"""MLflow's own client of its scoring protocol, as it is.

usage: scoring_client.py HOST PORT MODEL; the server has MODEL alone.
"""

import sys

import pandas as pd
import requests
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

host, port, model = sys.argv[1:]
frame = pd.DataFrame(
    {"shop": ["east", "west"], "kind": ["b", "a"], "price": [12.5, None], "weight": [-0.5, 1.0], "count": [4, 5]}
)
client = ScoringServerClient(host, int(port))
client.ping()
client.wait_server_ready(timeout=5)
predictions = client.invoke(frame).get_predictions()
assert predictions.shape == (2, 1) and predictions.dtypes.iloc[0] == float, predictions

base = f"http://{host}:{port}"
own = f"{base}/serve/{model}/invocations"


def same(**request):
    answer = requests.post(own, timeout=10, **request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == list(predictions.iloc[:, 0]), answer.text


records = [{k: None if pd.isna(v) else v for k, v in row.items()} for row in frame.to_dict("records")]
same(json={"dataframe_records": records})
same(json={"instances": records, "params": {}})
same(json={"inputs": {name: [row[name] for row in records] for name in frame}})
same(data=frame.to_csv(index=False), headers={"content-type": "text/csv; charset=utf-8"})
assert requests.get(f"{base}/serve/{model}/ping", timeout=10).text == "\n"
assert requests.get(f"{base}/serve/{model}/version", timeout=10).text.count(".") == 2

for status, code, request in [
    (400, "INVALID_PARAMETER_VALUE", {"json": {}}),
    (400, "BAD_REQUEST", {"json": {"dataframe_records": [{"shop": "east"}]}}),
    (400, "BAD_REQUEST", {"data": "{", "headers": {"content-type": "application/json"}}),
    (415, "BAD_REQUEST", {"data": "x", "headers": {"content-type": "application/x-thrift"}}),
]:
    answer = requests.post(own, timeout=10, **request)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
assert requests.post(f"{base}/serve/nothing/invocations", json={"inputs": [[1]]}, timeout=10).status_code == 404
print("done")
