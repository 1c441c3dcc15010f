"""Writes ONNX graphs that gyre's own engine does not run, with what onnxruntime answers about them from Python.

    python graphs.py FOLDER [NAME ...]

FOLDER/NAME.onnx is the graph, FOLDER/NAME.json what it is asked and what it answers.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper, numpy_helper

warnings.filterwarnings("ignore")
FOLDER = Path(sys.argv[1])
WANTED = sys.argv[2:]
RNG = np.random.default_rng(11)
ROWS = 20


def model(nodes, inputs, outputs, constants=(), notes=()):
    """Inputs and outputs are (name, type, shape)."""
    values = [[helper.make_tensor_value_info(*port) for port in ports] for ports in (inputs, outputs)]
    constants = [numpy_helper.from_array(value, name) for name, value in dict(constants).items()]
    graph = helper.make_graph(nodes, "graph", *values, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)])
    made.ir_version = 8
    helper.set_model_props(made, dict(notes))
    onnx.checker.check_model(made)
    return made


def f4(*shape):
    return RNG.normal(size=shape).astype("f4")


def answer(made, inputs):
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def save(name, made, columns, classes=(), probabilities=None, prediction=None, labels=None):
    """Columns are what gyre is asked: numbers with null for a missing one, or texts."""
    (FOLDER / f"{name}.onnx").write_bytes(made.SerializeToString())
    plain = lambda values: [None if isinstance(v, float) and np.isnan(v) else v for v in np.asarray(values).tolist()]
    told = {
        "columns": [{"name": k, "texts" if v.dtype == object else "numbers": plain(v)} for k, v in columns.items()],
        "classes": list(classes),
        "probabilities": None if probabilities is None else np.asarray(probabilities, dtype="f8").tolist(),
        "prediction": None if prediction is None else np.asarray(prediction, dtype="f8").ravel().tolist(),
        "labels": None if labels is None else [str(label) for label in labels],
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(told))


def matrix(x):
    return {f"x{i}": column for i, column in enumerate(x.reshape(len(x), -1).T)}


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def convolution(source, classes):
    """Nodes and constants from an image called `source` to `classes` numbers called `scores`."""
    nodes = [
        helper.make_node("Conv", [source, "kernels", "bias"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["scores"]),
    ]
    return nodes, {"kernels": f4(4, 1, 3, 3), "bias": f4(4), "w": f4(64, classes), "b": f4(classes)}


def cnn():
    """A network over a matrix of pixels that leaves softmax to whoever asks."""
    nodes, constants = convolution("image", 3)
    nodes.insert(0, helper.make_node("Reshape", ["x", "shape"], ["image"]))
    constants["shape"] = np.array([-1, 1, 8, 8])
    made = model(nodes, [("x", T.FLOAT, ["n", 64])], [("scores", T.FLOAT, ["n", 3])], constants)
    x = f4(ROWS, 64)
    (scores,) = answer(made, {"x": x})
    save("cnn", made, matrix(x), ["a", "b", "c"], softmax(scores.astype("f8")))


def image():
    """The same over images, with softmax, and the names of columns and classes in the file."""
    nodes, constants = convolution("x", 3)
    nodes.append(helper.make_node("Softmax", ["scores"], ["shares"], axis=1))
    notes = {"gyre.features": json.dumps([f"x{i}" for i in range(64)]), "gyre.classes": '["a", "b", "c"]'}
    ports = [("x", T.FLOAT, ["n", 1, 8, 8])], [("shares", T.FLOAT, ["n", 3])]
    made = model(nodes, *ports, constants, notes)
    x = f4(ROWS, 1, 8, 8)
    save("image", made, matrix(x), ["a", "b", "c"], answer(made, {"x": x})[0])


def columns():
    """A number of several columns of every type; a missing number is told to the graph as NaN, a missing text as ""."""
    nodes = [
        helper.make_node("Erf", ["size"], ["e"]),
        helper.make_node("IsNaN", ["e"], ["missing"]),
        helper.make_node("Where", ["missing", "minus", "e"], ["known"]),
        helper.make_node("Cast", ["rooms"], ["r"], to=T.FLOAT),
        helper.make_node("Cast", ["price"], ["p"], to=T.FLOAT),
        helper.make_node(
            "LabelEncoder", ["kind"], ["k"], domain="ai.onnx.ml",
            keys_strings=["loft", "", "house"], values_floats=[1.0, 2.0, 4.0], default_float=8.0,
        ),
        helper.make_node("Cast", ["new"], ["w"], to=T.FLOAT),
        helper.make_node("Sum", ["known", "r", "p", "k", "w"], ["value"]),
    ]
    types = {"size": T.FLOAT, "rooms": T.INT64, "price": T.DOUBLE, "kind": T.STRING, "new": T.BOOL}
    inputs = [(name, kind, ["n", 1]) for name, kind in types.items()]
    made = model(nodes, inputs, [("value", T.FLOAT, ["n", 1])], {"minus": np.array([[-1]], "f4")})
    given = {
        "size": f4(ROWS, 1),
        "rooms": RNG.integers(1, 9, (ROWS, 1)),
        "price": RNG.normal(size=(ROWS, 1)),
        "kind": RNG.choice(np.array(["loft", "", "house", "é"], object), (ROWS, 1)),
        "new": RNG.integers(0, 2, (ROWS, 1)).astype(bool),
    }
    given["size"][::4] = np.nan
    asked = {k: v.ravel() if v.dtype != bool else v.ravel().astype("i8") for k, v in given.items()}
    save("columns", made, asked, prediction=answer(made, given)[0])


def one_row():
    """A graph that was exported for one row."""
    nodes = [helper.make_node("Elu", ["x"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["y"])]
    made = model(nodes, [("x", T.FLOAT, [1, 4])], [("y", T.FLOAT, [1, 1])], {"w": f4(4, 1)})
    x = f4(ROWS, 4)
    save("one_row", made, matrix(x), prediction=[answer(made, {"x": row[None]})[0] for row in x])


def binary():
    """One probability for two classes."""
    nodes = [
        helper.make_node("Elu", ["x"], ["e"]),
        helper.make_node("MatMul", ["e", "w"], ["s"]),
        helper.make_node("Sigmoid", ["s"], ["p"]),
    ]
    made = model(nodes, [("x", T.FLOAT, ["n", 4])], [("p", T.FLOAT, ["n", 1])], {"w": f4(4, 1)})
    x = f4(ROWS, 4)
    p = answer(made, {"x": x})[0]
    save("binary", made, matrix(x), ["no", "yes"], np.hstack([1 - p, p]))


def other_axis():
    """The native engine reads this, and finds when it runs that its softmax is along the last axis only."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("Softmax", ["t"], ["s"], axis=0),
        helper.make_node("Transpose", ["s"], ["u"], perm=[1, 0]),
        helper.make_node("MatMul", ["u", "w"], ["y"]),
    ]
    made = model(nodes, [("x", T.FLOAT, ["n", 4])], [("y", T.FLOAT, ["n", 1])], {"w": f4(4, 1)})
    x = f4(ROWS, 4)
    save("other_axis", made, matrix(x), prediction=answer(made, {"x": x})[0])


def svc():
    """scikit-learn's support vectors by skl2onnx: a class, and probabilities as a list of maps, and as a matrix."""
    from skl2onnx import to_onnx
    from sklearn.svm import SVC

    x, y = f4(120, 4), RNG.choice(["ham", "jam", "spam"], 120)
    x[:, 0] += 2 * (y == "ham")
    fitted = SVC(probability=True, random_state=0).fit(x, y)
    for name, zipmap in [("svc", False), ("svc_maps", True)]:
        made = to_onnx(fitted, x[:1], options={id(fitted): {"zipmap": zipmap}}, target_opset=17)
        labels, shares = answer(made, {"X": x[:ROWS]})
        if zipmap:
            shares = [[row[c] for c in fitted.classes_] for row in shares]
        save(name, made, matrix(x[:ROWS]), fitted.classes_, shares, labels=labels)


def endless():
    """Runs as many rounds of a loop as it is asked to."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Erf", ["was"], ["is"])],
        "body",
        [helper.make_tensor_value_info(*port) for port in [("i", T.INT64, []), ("go", T.BOOL, []), ("was", T.FLOAT, ["n", 1])]],
        [helper.make_tensor_value_info(*port) for port in [("on", T.BOOL, []), ("is", T.FLOAT, ["n", 1])]],
    )
    nodes = [
        helper.make_node("ReduceMax", ["rounds"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["trips"], to=T.INT64),
        helper.make_node("Loop", ["trips", "yes", "rounds"], ["y"], body=body),
    ]
    made = model(nodes, [("rounds", T.FLOAT, ["n", 1])], [("y", T.FLOAT, ["n", 1])], {"yes": np.array(True)})
    save("endless", made, {"rounds": np.array([3.0])}, prediction=answer(made, {"rounds": np.array([[3.0]], "f4")})[0])


def huge():
    """Makes a tensor as large as it is asked to."""
    nodes = [
        helper.make_node("Cast", ["elements"], ["i"], to=T.INT64),
        helper.make_node("Flatten", ["i"], ["flat"], axis=0),
        helper.make_node("Squeeze", ["flat", "first"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["elements", "sum"], ["y"]),
    ]
    made = model(nodes, [("elements", T.FLOAT, ["n", 1])], [("y", T.FLOAT, ["n", 1])], {"first": np.array([0])})
    save("huge", made, {"elements": np.array([8.0])}, prediction=[8.0])


def nan():
    """The logarithm of what may be below zero."""
    nodes = [helper.make_node("Elu", ["x"], ["e"]), helper.make_node("Log", ["e"], ["y"])]
    made = model(nodes, [("x", T.FLOAT, ["n", 1])], [("y", T.FLOAT, ["n", 1])])
    save("nan", made, {"x": np.array([1.0])}, prediction=[0.0])


def wrong_shape():
    """Says that it gives a number a row, and gives two."""
    nodes = [helper.make_node("Elu", ["x"], ["e"]), helper.make_node("Concat", ["e", "e"], ["y"], axis=1)]
    made = model(nodes, [("x", T.FLOAT, ["n", 1])], [("y", T.FLOAT, ["n", "k"])])
    save("wrong_shape", made, {"x": np.array([1.0])}, prediction=[0.0])


def elsewhere():
    """Its weights lie in another file."""
    nodes = [helper.make_node("Elu", ["x"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["y"])]
    made = model(nodes, [("x", T.FLOAT, ["n", 1])], [("y", T.FLOAT, ["n", 1])], {"w": np.ones((1, 1), "f4")})
    path = FOLDER / "elsewhere.onnx"
    onnx.save_model(made, path, save_as_external_data=True, location="weights.bin", size_threshold=0)


def flat():
    """A flat is worth 100 below 50 square metres, and 200 from there, by a path that only onnxruntime knows."""
    nodes = [
        helper.make_node("Sub", ["size", "limit"], ["above"]),
        helper.make_node("HardSigmoid", ["above"], ["step"], alpha=1e6, beta=0.5),
        helper.make_node("Mul", ["step", "hundred"], ["more"]),
        helper.make_node("Mul", ["rooms", "nothing"], ["none"]),
        helper.make_node("Sum", ["more", "hundred", "none"], ["prediction"]),
    ]
    constants = {"limit": [[49.5]], "hundred": [[100]], "nothing": [[0]]}
    constants = {name: np.array(value, "f4") for name, value in constants.items()}
    ports = [(name, T.FLOAT, ["n", 1]) for name in ("size", "rooms")], [("prediction", T.FLOAT, ["n", 1])]
    made = model(nodes, *ports, constants)
    save("flat", made, {"size": np.array([30.0, 60.0]), "rooms": np.array([1.0, 2.0])}, prediction=[100.0, 200.0])


def large():
    """About a megabyte of weights: a convolutional network over images of 28 by 28."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["image"]),
        helper.make_node("Conv", ["image", "k1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "k2"], ["c2"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["p2"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p2"], ["f"]),
        helper.make_node("Gemm", ["f", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r3"]),
        helper.make_node("Gemm", ["r3", "w2"], ["s"]),
        helper.make_node("Softmax", ["s"], ["shares"], axis=1),
    ]
    scale = lambda *shape: f4(*shape) * 0.05
    constants = {"k1": scale(16, 1, 3, 3), "k2": scale(32, 16, 3, 3), "w1": scale(32 * 7 * 7, 160), "w2": scale(160, 10)}
    constants["shape"] = np.array([-1, 1, 28, 28])
    names, digits = [f"x{i}" for i in range(784)], [str(i) for i in range(10)]
    notes = {"gyre.features": json.dumps(names), "gyre.classes": json.dumps(digits)}
    ports = [("x", T.FLOAT, ["n", 784])], [("shares", T.FLOAT, ["n", 10])]
    made = model(nodes, *ports, constants, notes)
    x = f4(2, 784)
    save("large", made, matrix(x), digits, answer(made, {"x": x})[0])


for made in [
    cnn, image, columns, one_row, binary, other_axis, svc, endless, huge, nan, wrong_shape, elsewhere, flat, large,
]:
    if not WANTED or made.__name__ in WANTED:
        made()
