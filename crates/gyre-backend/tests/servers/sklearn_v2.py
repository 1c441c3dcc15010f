"""A single-threaded model server for the benchmark: StandardScaler and LogisticRegression over 20 features, V2 in JSON."""

import json

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from listening import Handler, serve

random = np.random.default_rng(7)
X = random.normal(size=(2000, 20))
MODEL = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, X[:, 0] + X[:, 1] > 0)


class Model(Handler):
    def do_GET(self):
        if self.path == "/v2":
            self.answer(200, {"name": "sklearn", "version": "1", "extensions": []})
        elif self.path == "/v2/models/m":
            self.answer(200, {"name": "m", "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 20]}]})
        else:
            self.answer(200, {"ready": True})

    def do_POST(self):
        (tensor,) = json.loads(self.body())["inputs"]
        x = np.array(tensor["data"]).reshape(tensor["shape"])
        p = MODEL.predict_proba(x)
        output = {"name": "p", "datatype": "FP64", "shape": list(p.shape), "data": p.ravel().tolist()}
        self.answer(200, {"model_name": "m", "outputs": [output]})


serve(Model)
