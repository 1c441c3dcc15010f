"""Makes the fixtures of this crate: models by scikit-learn + skl2onnx (and a few by hand, for corners that scikit-learn
does not reach), with the answers that onnxruntime gives.

    pip install -r requirements.txt
    python oracle.py                  # rewrites fixtures/
    python oracle.py --check A B ...  # only: the stored answers of A.onnx, B.onnx still are onnxruntime's
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
from onnx import TensorProto, helper

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent / "fixtures"
ROWS = 24


def plain(array):
    """JSON for an array: NaN and infinities as text."""
    flat = np.asarray(array).ravel().tolist()
    return [str(v) if isinstance(v, float) and not np.isfinite(v) else v for v in flat]


def answers(model, inputs):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = []
    for info, value in zip(session.get_outputs(), session.run(None, inputs)):
        if isinstance(value, list):  # ZipMap: one dict a row
            value = np.array([list(row.values()) for row in value], dtype=np.float32)
        outputs.append({"name": info.name, "shape": list(value.shape), "data": plain(value)})
    return outputs


def save(name, model, inputs):
    HERE.mkdir(exist_ok=True)
    described = [
        {"name": k, "dtype": "string" if v.dtype == object else str(v.dtype), "shape": list(v.shape), "data": plain(v)}
        for k, v in inputs.items()
    ]
    outputs = answers(model, inputs)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())
    (HERE / f"{name}.json").write_text(json.dumps({"inputs": described, "outputs": outputs}) + "\n")
    print(f"{name}: {[o['shape'] for o in outputs]}")


def pipelines():
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        GradientBoostingRegressor,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Lasso, LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
    from sklearn.tree import DecisionTreeRegressor
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    rng = np.random.default_rng(7)
    n = 400
    df = pd.DataFrame({
        "shop": rng.choice(["north", "south", "east"], n),
        "kind": rng.choice(["a", "b"], n),
        "price": rng.normal(10, 3, n).astype("f4"),
        "weight": rng.normal(size=n).astype("f4"),
        "count": rng.integers(0, 5, n),
    })
    df.loc[::7, "price"] = np.nan
    y = (df.weight + (df.shop == "north") * 2 + df["count"] * 0.3 + rng.normal(size=n) * 0.1).astype("f4")
    two = (y > 1.3).astype(int)
    three = pd.cut(y, [-99, 0.5, 2, 99], labels=["low", "mid", "high"]).astype(str)
    types = [("shop", StringTensorType([None, 1])), ("kind", StringTensorType([None, 1])),
             ("price", FloatTensorType([None, 1])), ("weight", FloatTensorType([None, 1])),
             ("count", Int64TensorType([None, 1]))]
    ask = df.head(ROWS).copy()
    ask.loc[ask.index[3], "shop"] = "never seen"
    inputs = {c: ask[[c]].to_numpy(dtype=object if c in ("shop", "kind") else None) for c in ask}

    def encoder(name):
        if name == "onehot":
            return OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)

    def numbers(scaled):
        return make_pipeline(SimpleImputer(strategy="median"), StandardScaler()) if scaled else "passthrough"

    models = [
        ("gbr", GradientBoostingRegressor(n_estimators=12, max_depth=3), y, "onehot", True),
        ("gbc", GradientBoostingClassifier(n_estimators=8, max_depth=3), two, "ordinal", True),
        ("gbc3", GradientBoostingClassifier(n_estimators=6, max_depth=3), three, "onehot", True),
        ("hgbr", HistGradientBoostingRegressor(max_iter=10, max_leaf_nodes=10), y, "ordinal", False),
        ("hgbc", HistGradientBoostingClassifier(max_iter=8, max_leaf_nodes=8), two, "onehot", False),
        ("hgbc3", HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=8), three, "ordinal", False),
        ("rfr", RandomForestRegressor(6, max_depth=4, random_state=0), y, "onehot", True),
        ("rfc", RandomForestClassifier(6, max_depth=4, random_state=0), two, "ordinal", True),
        ("rfc3", RandomForestClassifier(5, max_depth=4, random_state=0), three, "onehot", True),
        ("tree", DecisionTreeRegressor(max_depth=4), y, "ordinal", True),
        ("ridge", Ridge(), y, "onehot", True),
        ("lasso", Lasso(alpha=0.05), y, "ordinal", True),
        ("logistic", LogisticRegression(), two, "onehot", True),
        ("logistic3", LogisticRegression(), three, "ordinal", True),
        ("mlp", MLPClassifier((6,), max_iter=60, random_state=0), three, "onehot", True),
    ]
    for name, model, target, encoding, scaled in models:
        columns = ColumnTransformer([("category", encoder(encoding), ["shop", "kind"]),
                                     ("number", numbers(scaled), ["price", "weight", "count"])])
        fitted = Pipeline([("columns", columns), ("model", model)]).fit(df, target)
        variants = [("", None)]
        if hasattr(model, "predict_proba"):
            variants = [("", {"zipmap": False}), ("_zipmap", {"zipmap": True})]
            variants = variants if name in ("gbc", "logistic3") else variants[:1]
        for suffix, options in variants:
            exported = to_onnx(fitted, initial_types=types, options=options)
            save(f"skl_{name}_{encoding}{suffix}", exported, inputs)


def graph(nodes, inputs, outputs, initializers=(), opset=17, ml=3):
    kinds = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "s": TensorProto.STRING, "b": TensorProto.BOOL,
             "d": TensorProto.DOUBLE}
    info = lambda spec: helper.make_tensor_value_info(spec[0], kinds[spec[1]], spec[2])
    built = helper.make_graph(nodes, "g", [info(s) for s in inputs], [info(s) for s in outputs], list(initializers))
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml)]
    return helper.make_model(built, opset_imports=imports, ir_version=8)


def random_trees(rng, trees, depth, features, modes, missing):
    """Attributes of full binary trees with random splits, and the ids of their leaves."""
    nodes = {k: [] for k in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids",
                             "missing_value_tracks_true")}
    leaves = []
    inner = 2 ** depth - 1
    for t in range(trees):
        for i in range(2 * inner + 1):
            leaf = i >= inner
            nodes["treeids"].append(t)
            nodes["nodeids"].append(i)
            nodes["featureids"].append(0 if leaf else int(rng.integers(features)))
            nodes["modes"].append("LEAF" if leaf else str(rng.choice(modes)))
            nodes["values"].append(0.0 if leaf else float(np.round(rng.normal(), 1)))
            nodes["truenodeids"].append(0 if leaf else 2 * i + 1)
            nodes["falsenodeids"].append(0 if leaf else 2 * i + 2)
            nodes["missing_value_tracks_true"].append(0 if leaf or not missing else int(rng.integers(2)))
            if leaf:
                leaves.append((t, i))
    return {f"nodes_{k}": v for k, v in nodes.items()}, leaves


def by_hand():
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(size=(ROWS, 4)), 1).astype(np.float32)
    x[rng.random(x.shape) < 0.15] = np.nan
    ordered = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"]
    every = ordered + ["BRANCH_EQ", "BRANCH_NEQ"]
    floats = [("x", "f", [None, 4])]

    for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
        for targets in (1, 2):
            attributes, leaves = random_trees(rng, 10, 3, 4, every if targets == 1 else ordered, True)
            ids = [int(rng.integers(targets)) for _ in leaves]
            node = helper.make_node(
                "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=targets, target_ids=ids,
                aggregate_function=aggregate, target_treeids=[t for t, _ in leaves],
                target_nodeids=[i for _, i in leaves], target_weights=[float(v) for v in rng.normal(size=len(leaves))],
                base_values=[0.25] * targets, **attributes)
            save(f"trees_{aggregate.lower()}_{targets}", graph([node], floats, [("y", "f", [None, targets])]), {"x": x})

    for transform in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        for classes, scored in ((2, [0]), (2, [1]), (3, [0, 1, 2])):
            for positive in (False, True):
                if positive and transform != "NONE":
                    continue
                attributes, leaves = random_trees(rng, 5, 2, 4, ordered, True)
                weights = rng.random(len(leaves)) / 5 if positive else rng.normal(size=len(leaves))
                node = helper.make_node(
                    "TreeEnsembleClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", post_transform=transform,
                    class_ids=[scored[t % len(scored)] for t, _ in leaves], class_treeids=[t for t, _ in leaves],
                    class_nodeids=[i for _, i in leaves], class_weights=[float(v) for v in weights],
                    classlabels_strings=["no", "yes", "maybe"][:classes], **attributes)
                name = f"classes_{transform.lower()}_{classes}_{''.join(map(str, scored))}{'_positive' if positive else ''}"
                model = graph([node], floats, [("label", "s", [None]), ("p", "f", [None, classes])])
                save(name, model, {"x": x})

    def linear(transform):
        return helper.make_node(
            "LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", coefficients=[0.5, -1.0, 0.25, 2.0],
            intercepts=[0.1], classlabels_ints=[4, 9], post_transform=transform)

    clean = np.nan_to_num(x)
    for transform in ("NONE", "LOGISTIC"):
        model = graph([linear(transform)], floats, [("label", "i", [None]), ("p", "f", [None, 2])])
        save(f"linear_one_function_{transform.lower()}", model, {"x": clean})

    words = np.array([["a"], ["b"], ["zz"], [""], ["c"]], dtype=object)
    encode = helper.make_node("LabelEncoder", ["s"], ["e"], domain="ai.onnx.ml", keys_strings=["a", "b", "c"],
                              values_floats=[1.5, -2.0, 0.25], default_float=float("nan"))
    decode = helper.make_node("LabelEncoder", ["e"], ["y"], domain="ai.onnx.ml", keys_floats=[1.5, float("nan")],
                              values_strings=["one", "nothing"], default_string="other")
    model = graph([encode, decode], [("s", "s", [None, 1])], [("e", "f", [None, 1]), ("y", "s", [None, 1])])
    save("label_encoder_floats", model, {"s": words})

    nodes = [
        helper.make_node("Cast", ["x"], ["t"], to=TensorProto.STRING),
        helper.make_node("Cast", ["t"], ["back"], to=TensorProto.DOUBLE),
        helper.make_node("IsNaN", ["x"], ["n"]),
        helper.make_node("Where", ["n", "zero", "x"], ["w"]),
        helper.make_node("Gemm", ["w", "m"], ["g"], transB=1, alpha=0.5),
        helper.make_node("Softmax", ["g"], ["s"], axis=-1),
        helper.make_node("ArgMax", ["s"], ["a"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "a"], ["label"]),
        helper.make_node("Transpose", ["s"], ["st"], perm=[1, 0]),
        helper.make_node("Normalizer", ["w"], ["l2"], domain="ai.onnx.ml", norm="L2"),
        helper.make_node("Binarizer", ["w"], ["bin"], domain="ai.onnx.ml", threshold=0.3),
        helper.make_node("FeatureVectorizer", ["l2", "bin"], ["fv"], domain="ai.onnx.ml", inputdimensions=[4, 4]),
        helper.make_node("Unsqueeze", ["fv", "one"], ["u"]),
        helper.make_node("Squeeze", ["u", "one"], ["sq"]),
        helper.make_node("Div", ["sq", "w1"], ["d"]),
        helper.make_node("Sigmoid", ["d"], ["sig"]),
        helper.make_node("Flatten", ["sig"], ["flat"]),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("w1", TensorProto.FLOAT, [1, 8], [float(v) for v in range(1, 9)]),
        helper.make_tensor("m", TensorProto.FLOAT, [3, 4], [float(v) for v in np.round(rng.normal(size=12), 2)]),
        helper.make_tensor("names", TensorProto.STRING, [3], [b"red", b"green", b"blue"]),
    ]
    outputs = [("t", "s", [None, 4]), ("back", "d", [None, 4]), ("label", "s", [None]), ("st", "f", [3, None]),
               ("flat", "f", [None, 8])]
    save("tensor_operators", graph(nodes, floats, outputs, constants), {"x": x})


def check(paths):
    """The stored answers of these models against onnxruntime, to 1e-5."""
    for path in map(Path, paths):
        stored = json.loads(path.with_suffix(".json").read_text())
        kinds = {"string": object}
        inputs = {}
        for i in stored["inputs"]:
            kind = kinds.get(i["dtype"], i["dtype"])
            values = [float(v) if kind != object and isinstance(v, str) else v for v in i["data"]]
            inputs[i["name"]] = np.array(values, dtype=kind).reshape(i["shape"])
        for ours, theirs in zip(stored["outputs"], answers(onnx.load(path), inputs)):
            assert ours["shape"] == theirs["shape"], (path, ours["shape"], theirs["shape"])
            for a, b in zip(ours["data"], theirs["data"]):
                same = abs(a - b) <= 1e-5 * max(1, abs(b)) if isinstance(b, float) else a == b
                assert same, (path, ours["name"], a, b)
        print(f"{path}: equal")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(sys.argv[2:])
    else:
        pipelines()
        by_hand()
