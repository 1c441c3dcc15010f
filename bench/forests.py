#!/usr/bin/env python3
"""Forests in gyre's engine beside onnxruntime, one thread: a random forest 100 x depth 10, XGBoost 200 x depth 6, LightGBM
200 x 31 leaves, on 20 features; and explanations beside those of XGBoost and LightGBM.

`PYTHON=PATH` names a Python with crates/gyre-runtime/tests/requirements.txt and onnxmltools 1.16; build the example first:
`cargo build --release -p gyre-runtime --example score_bench`."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
EXAMPLE = ROOT / "target" / "release" / "examples" / "score_bench"


def median(run, times):
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[times // 2] * 1e6


def main(folder):
    import lightgbm as lgb
    import numpy as np
    import onnx
    import onnxruntime as ort
    import skops.io as sio
    import xgboost as xgb
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from skl2onnx import to_onnx
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier

    x, y = make_classification(20_000, 20, n_informative=10, random_state=0)
    x = x.astype("f4")
    types = [("x", FloatTensorType([None, 20]))]
    forest = RandomForestClassifier(100, max_depth=10, random_state=0, n_jobs=2).fit(x, y)
    onnx.save(to_onnx(forest, x[:1], options={"zipmap": False}), folder / "forest.onnx")
    sio.dump(forest, folder / "forest.skops")
    boosted = xgb.XGBClassifier(n_estimators=200, max_depth=6, learning_rate=0.1, n_jobs=2).fit(x, y)
    boosted.save_model(folder / "xgboost.ubj")
    onnx.save(convert_xgboost(boosted, initial_types=types, target_opset=15), folder / "xgboost.onnx")
    light = lgb.LGBMClassifier(n_estimators=200, num_leaves=31, n_jobs=2, verbose=-1).fit(x, y)
    light.booster_.save_model(folder / "lightgbm.txt")
    onnx.save(convert_lightgbm(light, initial_types=types, zipmap=False, target_opset=15), folder / "lightgbm.onnx")

    ask = np.random.default_rng(0).uniform(-2, 2, (256, 20)).astype("f4")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    for _ in range(3):
        for path in sorted(folder.iterdir()):
            print(path.name, subprocess.run([EXAMPLE, path, "20", "256"], capture_output=True, text=True, check=True).stdout.strip())
            if path.suffix == ".onnx":
                session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
                name = session.get_inputs()[0].name
                one, many = (median(lambda: session.run(None, {name: ask[:n]}), t) for n, t in ((1, 20_000), (256, 400)))
                print(f"{path.name} onnxruntime: one row {one:.2f} us, 256 rows {many:.1f} us")
        booster = boosted.get_booster()
        booster.set_param({"nthread": 1})
        matrix = xgb.DMatrix(ask, nthread=1)
        print(f"xgboost pred_contribs: a row {median(lambda: booster.predict(matrix, pred_contribs=True), 3) / 256:.0f} us")
        explain = lambda: light.booster_.predict(ask, pred_contrib=True, num_threads=1)
        print(f"lightgbm pred_contrib: a row {median(explain, 3) / 256:.0f} us")


if __name__ == "__main__":
    if "PYTHON" in os.environ and sys.executable != os.environ["PYTHON"]:
        os.execv(os.environ["PYTHON"], [os.environ["PYTHON"], __file__])
    with tempfile.TemporaryDirectory() as name:
        main(pathlib.Path(name))
