"""A model server for tests that speaks MLflow's scoring protocol: a class, with what the first argument says.

labels: the class; probabilities: an array; frame: records with the class and a probability for each.
"""

import json
import sys

from listening import Handler, serve


class Model(Handler):
    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"\n")

    def do_POST(self):
        frame = json.loads(self.body())["dataframe_split"]
        x = [row[frame["columns"].index("x")] for row in frame["data"]]
        if any(value is not None and value < 0 for value in x):
            return self.answer(400, {"error_code": "BAD_REQUEST", "message": "x must not be negative"})
        p = [0.0 if value is None else min(value / 10, 1.0) for value in x]
        labels = ["yes" if value > 0.5 else "no" for value in p]
        predictions = {
            "labels": labels,
            "probabilities": [[1.0 - value, value] for value in p],
            "frame": [
                {"class": label, "no": 1.0 - value, "yes": value} for label, value in zip(labels, p)
            ],
        }[sys.argv[1]]
        self.answer(200, {"predictions": predictions})


serve(Model)
