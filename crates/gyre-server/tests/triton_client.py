"""Triton's clients as they are, over HTTP and gRPC, in every call that they offer for what the server declares.

usage: triton_client.py HOST:PORT; prints the names of the checks that passed, one a line.
"""

import sys
import time

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from serving_rows import FEATURES, passed
from tritonclient.utils import InferenceServerException

ADDRESS = sys.argv[1]


def refused(call, *words):
    try:
        call()
    except InferenceServerException as error:
        told = str(error)
        assert all(word in told for word in words), told
        return
    raise AssertionError("was not refused")


def inputs(client, **form):
    made = []
    for name, (datatype, values) in FEATURES.items():
        tensor = client.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, **form)
        made.append(tensor)
    return made


def triton(kind, client, package, expected):
    """The calls that both of Triton's clients offer."""

    def check(name):
        passed(f"triton-{kind} {name}")

    assert client.is_server_live() and client.is_server_ready()
    check("health")
    metadata = client.get_server_metadata()
    metadata = metadata if kind == "http" else {"name": metadata.name, "extensions": list(metadata.extensions)}
    assert metadata["name"] == "gyre" and "binary_tensor_data" in metadata["extensions"], metadata
    check("server metadata")
    assert client.is_model_ready("size") and client.is_model_ready("size", "1")
    assert not client.is_model_ready("sise") and not client.is_model_ready("size", "7")
    check("model ready")
    model = client.get_model_metadata("size")
    names = [tensor["name"] for tensor in model["inputs"]] if kind == "http" else [t.name for t in model.inputs]
    assert names == list(FEATURES), names
    check("model metadata")
    config = client.get_model_config("size")
    config = config if kind == "http" else config.config
    ports = [(port["name"], port["data_type"]) for port in config["input"]] if kind == "http" else [
        (port.name, {12: "TYPE_FP64", 13: "TYPE_STRING"}[port.data_type]) for port in config.input
    ]
    assert ports[0] == ("shop", "TYPE_STRING") and ports[2] == ("price", "TYPE_FP64"), ports
    check("model configuration")

    result = client.infer("size", inputs(package), request_id=f"{kind}-1")
    answer = result.get_response()
    answer = answer if kind == "http" else {"id": answer.id, "model_version": answer.model_version}
    assert answer["id"] == f"{kind}-1" and answer["model_version"] == "1", answer
    classes = result.as_numpy("size")
    assert classes.shape == (2,) and all(c in (b"low", b"mid", b"high") for c in classes), classes
    probabilities = result.as_numpy("probabilities")
    assert probabilities.shape == (2, 3) and np.allclose(probabilities.sum(axis=1), 1)
    assert expected is None or np.array_equal(probabilities, expected)
    check("infer")
    wanted = [package.InferRequestedOutput("probabilities")]
    only = client.infer("size", inputs(package), outputs=wanted, model_version="1")
    assert only.as_numpy("size") is None and np.array_equal(only.as_numpy("probabilities"), probabilities)
    check("requested outputs")
    dear = np.array([[float("nan")], [8.0]])
    missing = inputs(package)
    missing[2].set_data_from_numpy(dear)
    assert client.infer("demand", missing).as_numpy("sold").shape == (2,)
    check("a missing number")
    refused(lambda: client.infer("size", inputs(package)[1:]), "feature `shop` is missing")
    refused(lambda: client.infer("sise", inputs(package)), "did you mean `size`")
    refused(lambda: client.infer("size", inputs(package), model_version="9"), "version 9", "not loaded")
    check("refusals")

    counted = client.get_inference_statistics("size")
    counted = counted["model_stats"][0] if kind == "http" else counted.model_stats[0]
    count = counted["inference_count"] if kind == "http" else counted.inference_count
    assert int(count) >= 4, counted
    everything = client.get_inference_statistics()
    assert len(everything["model_stats"] if kind == "http" else everything.model_stats) >= 2
    check("statistics")

    def index():
        found = client.get_model_repository_index()
        if kind == "http":
            return {(model["name"], model["state"]) for model in found}
        return {(model.name, model.state) for model in found.models}

    assert {("demand", "READY"), ("size", "READY")} <= index()
    check("repository index")
    client.unload_model("size")
    assert not client.is_model_ready("size")
    assert ("size", "UNAVAILABLE") in index()
    refused(lambda: client.infer("size", inputs(package)), "there is no model `size`")
    client.load_model("size")
    assert client.is_model_ready("size")
    assert np.array_equal(client.infer("size", inputs(package)).as_numpy("probabilities"), probabilities)
    check("unload and load")
    refused(lambda: client.load_model("size", config='{"backend": "python"}'), "register a version")
    refused(lambda: client.load_model("nothing"), "nothing")
    check("refusal to load")
    return probabilities


http = triton_http.InferenceServerClient(ADDRESS)
probabilities = triton("http", http, triton_http, None)
as_json = [triton_http.InferRequestedOutput(name, binary_data=False) for name in ("size", "probabilities")]
plain = http.infer("size", inputs(triton_http, binary_data=False), outputs=as_json)
assert np.allclose(plain.as_numpy("probabilities"), probabilities, rtol=1e-15)
passed("triton-http tensors in JSON")
pending = [http.async_infer("size", inputs(triton_http)) for _ in range(4)]
assert all(np.array_equal(p.get_result().as_numpy("probabilities"), probabilities) for p in pending)
passed("triton-http asynchronous")
http.close()

grpc = triton_grpc.InferenceServerClient(ADDRESS)
triton("grpc", grpc, triton_grpc, probabilities)
answers = []
for _ in range(4):
    grpc.async_infer("size", inputs(triton_grpc), callback=lambda result, error: answers.append((result, error)))
deadline = time.monotonic() + 20
while len(answers) < 4 and time.monotonic() < deadline:
    time.sleep(0.01)
assert len(answers) == 4 and all(error is None for _, error in answers), answers
passed("triton-grpc asynchronous")
odd = answers[0][0].get_response().parameters["gyre-feature-warnings"].string_param
assert odd == '"shop";odd=unseen;rows=1;first=1', odd
answers.clear()
grpc.start_stream(callback=lambda result, error: answers.append((result, error)))
for at in range(3):
    grpc.async_stream_infer("size" if at != 1 else "sise", inputs(triton_grpc), request_id=f"s{at}")
while len(answers) < 3 and time.monotonic() < deadline:
    time.sleep(0.01)
grpc.stop_stream()
assert [error is None for _, error in answers] == [True, False, True], answers
assert answers[2][0].get_response().id == "s2" and "did you mean" in str(answers[1][1])
passed("triton-grpc stream")
grpc.close()
