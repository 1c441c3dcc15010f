"""KServe's client as it is, over REST and gRPC.

usage: kserve_client.py HOST:PORT; prints the names of the checks that passed, one a line. It has a process of its own: the
package brings the same protocol buffers as Triton's client, and they cannot be loaded twice.
"""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from serving_rows import FEATURES, passed

ADDRESS = sys.argv[1]


async def kserve_checks():
    def request(model):
        tensors = []
        for name, (datatype, values) in FEATURES.items():
            tensor = InferInput(name=name, shape=list(values.shape), datatype=datatype)
            tensor.set_data_from_numpy(values, binary_data=False)
            tensors.append(tensor)
        return InferRequest(model_name=model, infer_inputs=tensors, request_id="k")

    def looks_right(response):
        output = {output.name: output for output in response.outputs}["probabilities"]
        probabilities = np.array(output.as_numpy()).reshape(2, 3)
        assert np.allclose(probabilities.sum(axis=1), 1) and (probabilities > 0).all(), output

    base = f"http://{ADDRESS}"
    rest = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    assert await rest.is_server_live(base)
    passed("kserve-rest live")
    assert await rest.is_server_ready(base)
    passed("kserve-rest ready")
    assert await rest.is_model_ready(base, "size")
    passed("kserve-rest model ready")
    looks_right(await rest.infer(base, request("size"), model_name="size"))
    passed("kserve-rest infer")
    await rest.close()
    grpc = InferenceGRPCClient(ADDRESS)
    assert await grpc.is_server_live()
    passed("kserve-grpc live")
    assert await grpc.is_server_ready()
    passed("kserve-grpc ready")
    assert await grpc.is_model_ready("size")
    passed("kserve-grpc model ready")
    looks_right(await grpc.infer(request("size")))
    passed("kserve-grpc infer")
    await grpc.close()


asyncio.run(kserve_checks())
