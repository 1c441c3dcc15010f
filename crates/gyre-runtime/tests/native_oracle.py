"""Trains models with the real libraries and writes each one's file with the answers that the library gives:

    python native_oracle.py xgboost|lightgbm|sklearn FOLDER
    python native_oracle.py fixtures fixtures/native

NAME.EXT is the model, NAME.json the question and the answer. Everything is seeded. The tests of the crate run the first
and compare; nothing of it is kept in the repository. The second rewrites small files that the tests then damage.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
OUT = Path(sys.argv[2])
ROUND = 12  # rounds of boosting, trees of a forest


def plain(values):
    """JSON for numbers, NaN as null."""
    array = np.asarray(values, dtype=float)
    return [plain(v) for v in array] if array.ndim > 1 else [None if np.isnan(v) else float(v) for v in array]


def ask(frame):
    """The question: columns of a data frame."""
    columns = []
    for name in frame:
        values = frame[name]
        if values.dtype.kind in "fiub":
            columns.append({"name": str(name), "numbers": plain(values)})
        elif isinstance(values.dtype, pd.CategoricalDtype) and values.cat.categories.dtype.kind in "fiu":
            columns.append({"name": str(name), "numbers": plain(values.astype(float))})
        else:
            columns.append({"name": str(name), "texts": [None if pd.isna(v) else str(v) for v in values]})
    return columns


def write(name, frame, *, prediction=None, probabilities=None, labels=None, classes=None, contributions=None,
          base=None, background=None):
    """`contributions` are by row, output and feature, `base` by output."""
    answer = {"columns": ask(frame)}
    if prediction is not None:
        answer["prediction"] = plain(prediction)
    if probabilities is not None:
        answer["probabilities"] = plain(probabilities)
        answer["classes"] = [str(c) for c in classes]
        answer["labels"] = [str(v) for v in labels]
    if contributions is not None:
        answer["contributions"] = plain(contributions)
        answer["base"] = plain(base)
    if background is not None:
        answer["background"] = ask(background)
    (OUT / f"{name}.json").write_text(json.dumps(answer))


def table(rng, n, holes=True):
    """Numbers with few values, so that rows meet thresholds, with holes and zeros; and two columns of categories."""
    frame = pd.DataFrame({
        "size": np.round(rng.normal(size=n), 1),
        "age in years": rng.integers(0, 6, n).astype(float),
        "weight": np.round(rng.exponential(size=n), 2),
        "wave": rng.normal(size=n),
        "shop": pd.Categorical(rng.choice(["north", "søuth", "east", "west", "up"], n)),
        "code": pd.Categorical(rng.choice([2, 3, 5, 7, 11, 13], n)),
    })
    if holes:
        for name in ["size", "weight", "shop", "code"]:
            frame.loc[rng.random(n) < 0.1, name] = np.nan
    shop = frame["shop"].astype(str)
    signal = (np.nan_to_num(frame["size"]) + 0.4 * frame["age in years"] - np.nan_to_num(frame["weight"]) * 0.5
              + (shop == "north") * 1.5 - (shop == "up") + frame["code"].astype(str).isin(["3", "7"]) * 0.8)
    return frame, signal.to_numpy() + rng.normal(size=n) * 0.2


NUMBERS = ["size", "age in years", "weight", "wave"]
ASK = 120


def with_thresholds(frame, thresholds, kind):
    """The first rows, some of whose numbers stand exactly on a threshold, just below, or just above."""
    asked = frame.head(ASK).copy()
    finite = [(name, t) for name, t in thresholds if np.isfinite(t)]
    for i, (name, threshold) in enumerate(finite[: ASK - 20]):
        t = kind(threshold)
        asked.loc[asked.index[i + 10], name] = [t, np.nextafter(t, kind(-np.inf)), np.nextafter(t, kind(np.inf))][i % 3]
    for i, value in enumerate([0.0, -0.0, 1e-36, -1e-36, 1e30, -1e30, np.nan]):
        asked.loc[asked.index[i], ["size", "wave"]] = value
    return asked


def xgboost():
    import xgboost as xgb

    rng = np.random.default_rng(5)
    frame, y = table(rng, 500)
    # XGBoost 3.2 cuts the bytes of categories by their number of characters, so that its own files are wrong for others.
    frame["shop"] = frame["shop"].cat.rename_categories({"søuth": "south"})
    numbers = frame[NUMBERS]
    two, three = (y > 0.5).astype(int), np.digitize(y, [-0.3, 1.0])
    positive = np.exp(y / 3)
    common = {"n_estimators": ROUND, "max_depth": 4, "learning_rate": 0.4, "n_jobs": 1, "random_state": 3}

    def thresholds(booster, names):
        trees = booster.trees_to_dataframe()
        trees = trees[trees["Feature"].isin(names) & trees["Split"].notna()]
        return list(zip(trees["Feature"], trees["Split"]))

    def save(name, model, asked, given=None, explain=True):
        booster = model if isinstance(model, xgb.Booster) else model.get_booster()
        for ext in ("json", "ubj"):  # the library looks at the ending
            model.save_model(OUT / f"model.{ext}")
            (OUT / f"model.{ext}").rename(OUT / f"{name}.{ext}.model")
        given = asked if given is None else given
        features = given.shape[1]
        matrix = xgb.DMatrix(given, enable_categorical=True, feature_types=booster.feature_types if isinstance(given, np.ndarray) else None)
        answer = {}
        rounds = (0, 0)
        if isinstance(model, xgb.XGBClassifier):
            p = model.predict_proba(given)
            answer = {"probabilities": p, "labels": model.predict(given), "classes": range(p.shape[1])}
        elif isinstance(model, xgb.XGBModel):
            answer = {"prediction": model.predict(given)}
        if isinstance(model, xgb.XGBModel) and hasattr(model, "best_iteration") if model.__dict__.get("early_stopping_rounds") else False:
            rounds = (0, model.best_iteration + 1)
        if isinstance(model, xgb.Booster):
            p = model.predict(matrix)
            objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
            if objective.startswith("multi:softprob"):
                answer = {"probabilities": p, "labels": p.argmax(1), "classes": range(p.shape[1])}
            elif objective in ("binary:logistic", "binary:hinge"):
                answer = {"probabilities": np.c_[1 - p, p], "labels": (p > 0.5).astype(int), "classes": [0, 1]}
            else:
                answer = {"prediction": p}
        if explain:
            c = booster.predict(matrix, pred_contribs=True, iteration_range=rounds)
            c = c.reshape(len(asked), -1, features + 1)
            answer |= {"contributions": c[:, :, :-1], "base": c[0, :, -1]}
        write(name, asked, **answer)

    def on_thresholds(model):
        return with_thresholds(numbers, thresholds(model.get_booster(), NUMBERS), np.float32)

    model = xgb.XGBRegressor(**common).fit(numbers, y)
    save("squared", model, on_thresholds(model))
    model = xgb.XGBClassifier(**common).fit(numbers, two)
    save("logistic", model, on_thresholds(model))
    model = xgb.XGBClassifier(**common).fit(numbers, three)
    save("softprob", model, on_thresholds(model))
    model = xgb.XGBRegressor(**common).fit(numbers.to_numpy(), y)
    asked = numbers.head(ASK)
    save("no_names", model, asked.set_axis([f"f{i}" for i in range(4)], axis=1), asked.to_numpy())
    for name in ("count:poisson", "reg:gamma", "reg:tweedie", "reg:squaredlogerror", "reg:pseudohubererror",
                 "reg:absoluteerror", "survival:cox"):
        model = xgb.XGBRegressor(objective=name, **common).fit(numbers, positive)
        save(name.split(":")[1], model, on_thresholds(model))
    model = xgb.XGBRegressor(objective="reg:quantileerror", quantile_alpha=0.7, **common).fit(numbers, y)
    save("quantile", model, on_thresholds(model))
    model = xgb.XGBRegressor(objective="reg:logistic", **common).fit(numbers, two)
    save("reg_logistic", model, on_thresholds(model))
    model = xgb.XGBRegressor(base_score=0.25, objective="reg:tweedie", **common).fit(numbers, positive)
    save("base_score", model, on_thresholds(model))
    model = xgb.XGBClassifier(base_score=0.9, **common).fit(numbers, two)
    save("base_probability", model, on_thresholds(model))
    model = xgb.XGBRanker(objective="rank:pairwise", **common).fit(numbers, three, qid=np.repeat(range(50), 10))
    save("rank", model, on_thresholds(model))
    model = xgb.XGBClassifier(booster="dart", rate_drop=0.5, num_parallel_tree=2, subsample=0.8, **common).fit(numbers, three)
    save("dart", model, on_thresholds(model))
    model = xgb.XGBRFClassifier(n_estimators=20, max_depth=5, random_state=1, n_jobs=1).fit(numbers, three)
    save("forest", model, on_thresholds(model))
    noise = rng.integers(0, 3, 200)
    early = {**common, "n_estimators": 40, "early_stopping_rounds": 4, "num_parallel_tree": 2}
    model = xgb.XGBClassifier(**early).fit(numbers, three, eval_set=[(numbers.head(200), noise)], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    save("early", model, on_thresholds(model))

    matrix = xgb.DMatrix(numbers, two)
    settings = {"max_depth": 3, "nthread": 1, "seed": 1}
    for name in ("binary:logistic", "binary:hinge", "binary:logitraw"):
        booster = xgb.train(settings | {"objective": name}, matrix, 6)
        save(f"booster_{name.split(':')[1]}", booster, numbers.head(ASK))
    early = xgb.train(settings, matrix, 40, evals=[(xgb.DMatrix(numbers, 1 - two), "e")], early_stopping_rounds=2, verbose_eval=False)
    save("booster_early", early, numbers.head(ASK))
    soft = xgb.train(settings | {"objective": "multi:softprob", "num_class": 3}, xgb.DMatrix(numbers, three), 6)
    save("booster_softprob", soft, numbers.head(ASK))
    survival = xgb.DMatrix(numbers)
    survival.set_float_info("label_lower_bound", positive)
    survival.set_float_info("label_upper_bound", positive * 1.5)
    save("aft", xgb.train(settings | {"objective": "survival:aft"}, survival, 6), numbers.head(ASK))
    clean = numbers.fillna(0.5)
    for name, target in (("linear", y), ("linear3", three)):
        kind = xgb.XGBRegressor if name == "linear" else xgb.XGBClassifier
        model = kind(booster="gblinear", n_estimators=5, n_jobs=1, feature_selector="cyclic", updater="coord_descent").fit(clean, target)
        save(name, model, clean.head(ASK), explain=False)

    for onehot in (1, 100):
        model = xgb.XGBClassifier(enable_categorical=True, max_cat_to_onehot=onehot, **common).fit(frame, three)
        save(f"categories_{onehot}", model, frame.head(ASK))
    # Codes of a matrix: unknown ones, and such as are no whole numbers.
    codes = np.c_[numbers["size"], rng.integers(0, 40, 500)]
    target = y + np.isin(codes[:, 1], [1, 5, 9, 33, 39]) * 3
    model = xgb.XGBRegressor(feature_types=["q", "c"], enable_categorical=True, max_cat_to_onehot=1, **common).fit(codes, target)
    asked = codes[:ASK].copy()
    asked[:8, 1] = [0, 39, np.nan, 38, 5, 9, 1, 33]
    save("codes", model, pd.DataFrame(asked, columns=["f0", "f1"]), asked)


def lightgbm():
    import lightgbm as lgb

    rng = np.random.default_rng(6)
    frame, y = table(rng, 500)
    numbers = frame[NUMBERS]
    two, three = (y > 0.5).astype(int), np.digitize(y, [-0.3, 1.0])
    positive = np.exp(y / 3)
    common = {"n_estimators": ROUND, "num_leaves": 9, "learning_rate": 0.3, "n_jobs": 1, "random_state": 3, "verbose": -1,
              "min_child_samples": 5, "min_data_per_group": 5, "cat_smooth": 1.0}

    def thresholds(booster):
        trees = booster.trees_to_dataframe()
        trees = trees[(trees["decision_type"] == "<=") & trees["split_feature"].notna()]
        spelling = {name.replace(" ", "_"): name for name in NUMBERS}
        return [(spelling[f], float(t)) for f, t in zip(trees["split_feature"], trees["threshold"]) if f in spelling]

    def save(name, model, asked, given=None, explain=True):
        booster = model if isinstance(model, lgb.Booster) else model.booster_
        booster.save_model(OUT / f"{name}.txt.model")
        given = asked if given is None else given
        if isinstance(model, lgb.LGBMClassifier):
            p = model.predict_proba(given)
            answer = {"probabilities": p, "labels": model.predict(given), "classes": range(p.shape[1])}
        else:
            answer = {"prediction": model.predict(given)}
        if explain:
            c = booster.predict(given, pred_contrib=True).reshape(len(asked), -1, given.shape[1] + 1)
            if model.get_params().get("boosting_type") == "rf":  # it forgets that a forest is a mean
                c = c / ROUND
            answer |= {"contributions": c[:, :, :-1], "base": c[0, :, -1]}
        write(name, asked, **answer)

    def on_thresholds(model):
        return with_thresholds(numbers, thresholds(model.booster_), np.float64)

    for name in ("regression", "regression_l1", "huber", "quantile", "mape"):
        model = lgb.LGBMRegressor(objective=name, **common).fit(numbers, y)
        save(name, model, on_thresholds(model))
    for name in ("poisson", "gamma", "tweedie"):
        model = lgb.LGBMRegressor(objective=name, **common).fit(numbers, positive)
        save(name, model, on_thresholds(model))
    for name in ("cross_entropy", "cross_entropy_lambda"):
        model = lgb.LGBMRegressor(objective=name, **common).fit(numbers, two)
        save(name, model, on_thresholds(model))
    model = lgb.LGBMRegressor(reg_sqrt=True, **common).fit(numbers, y)
    save("sqrt", model, on_thresholds(model))
    model = lgb.LGBMClassifier(sigmoid=1.7, **common).fit(numbers, two)
    save("binary", model, on_thresholds(model))
    model = lgb.LGBMClassifier(**common).fit(numbers, three)
    save("multiclass", model, on_thresholds(model))
    model = lgb.LGBMClassifier(objective="multiclassova", sigmoid=1.3, **common).fit(numbers, three)
    save("multiclassova", model, on_thresholds(model))
    model = lgb.LGBMRanker(**common).fit(numbers, three, group=[10] * 50)
    save("rank", model, on_thresholds(model))
    for name, target in (("rf", two), ("rf3", three)):
        model = lgb.LGBMClassifier(boosting_type="rf", subsample=0.7, subsample_freq=1, **common).fit(numbers, target)
        save(name, model, on_thresholds(model))
    model = lgb.LGBMClassifier(boosting_type="dart", drop_rate=0.5, **common).fit(numbers, two)
    save("dart", model, on_thresholds(model))
    sparse = numbers.assign(size=numbers["size"].where(rng.random(500) < 0.6, 0.0))
    for name, settings in (("zero_as_missing", {"zero_as_missing": True}), ("use_missing", {"use_missing": False})):
        model = lgb.LGBMRegressor(**settings, **common).fit(sparse, y)
        save(name, model, on_thresholds(model))
    model = lgb.LGBMRegressor(**common).fit(numbers.fillna(0.25), y)
    save("no_missing", model, on_thresholds(model))
    model = lgb.LGBMClassifier(**{**common, "n_estimators": 60}).fit(
        numbers, two, eval_set=[(numbers, rng.integers(0, 2, 500))], callbacks=[lgb.early_stopping(3, verbose=False)])
    save("early", model, on_thresholds(model))
    model = lgb.LGBMRegressor(**common).fit(numbers, np.full(500, 2.5))
    save("constant", model, numbers.head(20))
    model = lgb.LGBMRegressor(**common).fit(numbers.to_numpy(), y)
    asked = numbers.head(ASK)
    save("no_names", model, asked.set_axis([f"Column_{i}" for i in range(4)], axis=1), asked.to_numpy())

    for onehot in (1, 4):
        model = lgb.LGBMClassifier(max_cat_to_onehot=onehot, **common).fit(frame, three)
        asked = frame.head(ASK).copy()
        asked["shop"] = asked["shop"].astype(object)
        asked.loc[asked.index[:4], "shop"] = ["never seen", "", "up", None]
        asked["shop"] = asked["shop"].astype("category")
        save(f"categories_{onehot}", model, asked)
    codes = np.c_[numbers["size"], rng.integers(0, 40, 500)]
    target = y + np.isin(codes[:, 1], [1, 5, 9, 33, 39]) * 3
    model = lgb.LGBMRegressor(max_cat_to_onehot=1, **common).fit(codes, target, categorical_feature=[1])
    asked = codes[:ASK].copy()
    asked[:9, 1] = [0, 39, np.nan, 38, 5.9, 77, -1, 1e9, -7.5]
    save("codes", model, pd.DataFrame(asked, columns=["Column_0", "Column_1"]), asked)
    lgb.LGBMRegressor(linear_tree=True, **common).fit(numbers.fillna(0), y).booster_.save_model(OUT / "linear_tree.refused")


def sklearn():
    import shap
    import skops.io as sio
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.ensemble import (
        ExtraTreesClassifier, ExtraTreesRegressor, GradientBoostingClassifier, GradientBoostingRegressor,
        HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor)
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import (
        ElasticNet, Lasso, LinearRegression, LogisticRegression, PoissonRegressor, Ridge, RidgeClassifier, SGDClassifier,
        SGDRegressor)
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import (
        MaxAbsScaler, MinMaxScaler, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler)
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor

    rng = np.random.default_rng(8)
    frame, y = table(rng, 500)
    frame["shop"] = frame["shop"].astype(object).where(frame["shop"].notna(), np.nan)
    frame["code"] = frame["code"].astype(float)
    numbers, clean = frame[NUMBERS], frame[NUMBERS].fillna(0.5)
    two = np.where(y > 0.5, "yes", "no")
    three = np.digitize(y, [-0.3, 1.0])
    flags = y > 0.2
    positive = np.exp(y / 3)

    def save(name, model, asked, given=None, explained=None, compress=False, background=None):
        """`explained`: contributions and base, as by `write`."""
        import zipfile
        sio.dump(model, OUT / f"{name}.skops.model", **({"compression": zipfile.ZIP_DEFLATED} if compress else {}))
        given = asked if given is None else given
        if hasattr(model, "predict_proba"):
            answer = {"probabilities": model.predict_proba(given), "labels": model.predict(given), "classes": model.classes_}
        elif hasattr(model, "classes_"):
            labels = model.predict(given)
            answer = {"probabilities": labels[:, None] == model.classes_[None], "labels": labels, "classes": model.classes_}
        else:
            answer = {"prediction": model.predict(given)}
        if explained is not None:
            answer |= {"contributions": explained[0], "base": explained[1]}
        write(name, asked, **answer, background=background)

    def parts(model, given, outputs=1):
        """What shap says of a model of trees."""
        explainer = shap.TreeExplainer(model)
        values = np.asarray(explainer.shap_values(given, check_additivity=False))
        base = np.atleast_1d(explainer.expected_value)
        if values.ndim == 2:
            values = values[:, :, None]
        return values.transpose(0, 2, 1)[:, -outputs:], base[-outputs:]

    def on_thresholds(model, names, data=numbers):
        estimators = np.ravel(model.estimators_) if hasattr(model, "estimators_") else [model]
        found = []
        for estimator in estimators:
            tree = estimator.tree_
            inner = tree.children_left >= 0
            found += [(names[f], t) for f, t in zip(tree.feature[inner], tree.threshold[inner])]
        asked = with_thresholds(data, found, np.float32)
        return asked if data is numbers else asked.fillna(0.25)

    small = {"max_depth": 5, "random_state": 1}
    for name, model, target in [
        ("tree", DecisionTreeRegressor(**small), y), ("tree_yes", DecisionTreeClassifier(**small), two),
        ("tree3", DecisionTreeClassifier(**small), three), ("extra_tree", ExtraTreeRegressor(**small), y),
        ("forest", RandomForestRegressor(ROUND, **small), y), ("forest_yes", RandomForestClassifier(ROUND, **small), two),
        ("forest3", RandomForestClassifier(ROUND, class_weight="balanced", **small), three),
        ("forest_flags", RandomForestClassifier(ROUND, **small), flags),
        ("extra", ExtraTreesRegressor(ROUND, **small), y), ("extra3", ExtraTreesClassifier(ROUND, **small), three),
    ]:
        model.fit(numbers, target)
        asked = on_thresholds(model, NUMBERS)
        classes = len(model.classes_) if hasattr(model, "classes_") else 1
        # shap takes no missing values of scikit-learn's trees.
        full = asked.fillna(0.25)
        save(name, model, asked, compress=name == "forest3")
        save(f"{name}_parts", model, full, explained=parts(model, full.to_numpy(), classes) if "extra_" not in name else None)
    for name, model, target in [
        ("gb", GradientBoostingRegressor(n_estimators=ROUND, random_state=1), y),
        ("gb_huber", GradientBoostingRegressor(loss="huber", n_estimators=ROUND, random_state=1), y),
        ("gb_zero", GradientBoostingRegressor(init="zero", n_estimators=ROUND, random_state=1), y),
        ("gb_yes", GradientBoostingClassifier(n_estimators=ROUND, random_state=1), two),
        ("gb_exponential", GradientBoostingClassifier(loss="exponential", n_estimators=ROUND, random_state=1), two),
        ("gb3", GradientBoostingClassifier(n_estimators=ROUND, random_state=1), three),
    ]:
        model.fit(clean, target)
        asked = on_thresholds(model, NUMBERS, clean)
        explained = parts(model, asked.to_numpy()) if name in ("gb", "gb_huber", "gb_yes") else None
        save(name, model, asked, explained=explained)
    hist = {"max_iter": ROUND, "max_leaf_nodes": 9, "random_state": 1, "min_samples_leaf": 5}
    for name, model, target in [
        ("hgb", HistGradientBoostingRegressor(**hist), y), ("hgb_yes", HistGradientBoostingClassifier(**hist), two),
        ("hgb3", HistGradientBoostingClassifier(**hist), three),
        ("hgb_poisson", HistGradientBoostingRegressor(loss="poisson", **hist), positive),
        ("hgb_gamma", HistGradientBoostingRegressor(loss="gamma", **hist), positive),
        ("hgb_absolute", HistGradientBoostingRegressor(loss="absolute_error", **hist), y),
    ]:
        model.fit(numbers, target)
        found = [(NUMBERS[n["feature_idx"]], n["num_threshold"]) for round in model._predictors for p in round for n in p.nodes if not n["is_leaf"]]
        asked = with_thresholds(numbers, found, np.float64)
        save(name, model, asked, explained=parts(model, asked.to_numpy()) if name == "hgb" else None)
    categories = frame.copy()
    categories["shop"] = categories["shop"].astype("category")
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", **hist).fit(categories, three)
    asked = categories.head(ASK).copy()
    asked["shop"] = asked["shop"].astype(object)
    asked.loc[asked.index[:3], "shop"] = ["never seen", "", None]
    asked["shop"] = asked["shop"].astype("category")
    save("hgb_categories", model, asked)
    codes = np.c_[numbers["size"], rng.integers(0, 40, 500)]
    target = y + np.isin(codes[:, 1], [1, 5, 9, 33, 39]) * 3
    model = HistGradientBoostingRegressor(categorical_features=[1], **hist).fit(codes, target)
    asked = codes[:ASK].copy()
    asked[:5, 1] = [0, 39, np.nan, 77, 250]
    save("hgb_codes", model, pd.DataFrame(asked, columns=["x0", "x1"]), asked)

    ask_clean = clean.head(ASK)
    for name, model, target in [
        ("ols", LinearRegression(), y), ("ridge", Ridge(), y), ("lasso", Lasso(alpha=0.05), y),
        ("elastic", ElasticNet(alpha=0.05, fit_intercept=False), y), ("sgd", SGDRegressor(random_state=1), y),
        ("poisson", PoissonRegressor(), positive), ("logistic", LogisticRegression(), two),
        ("logistic3", LogisticRegression(), three), ("sgd_log", SGDClassifier(loss="log_loss", random_state=1), two),
        ("sgd_log3", SGDClassifier(loss="log_loss", random_state=1), three),
        ("sgd_huber", SGDClassifier(loss="modified_huber", random_state=1), two),
        ("sgd_huber3", SGDClassifier(loss="modified_huber", random_state=1), three),
        ("svm", SGDClassifier(random_state=1), two), ("svm3", SGDClassifier(random_state=1), three),
        ("ridge_classes", RidgeClassifier(), two),
        ("mlp", MLPRegressor(hidden_layer_sizes=(8, 5), max_iter=30, random_state=1), y),
        ("mlp_yes", MLPClassifier(hidden_layer_sizes=(6,), activation="tanh", max_iter=30, random_state=1), two),
        ("mlp3", MLPClassifier(hidden_layer_sizes=(6,), activation="logistic", max_iter=30, random_state=1), three),
    ]:
        model.fit(clean, target)
        explained = background = None
        if name in ("ols", "ridge", "logistic", "poisson"):
            background = clean.tail(50)
            explainer = shap.LinearExplainer((np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])), background)
            explained = explainer.shap_values(ask_clean)[:, None, :], [explainer.expected_value]
        save(name, model, ask_clean, explained=explained, background=background)
    save("no_names", Ridge().fit(clean.to_numpy(), y), ask_clean.set_axis([f"x{i}" for i in range(4)], axis=1), ask_clean.to_numpy())

    asked = frame.head(ASK).copy()
    asked.loc[asked.index[:3], "shop"] = ["never seen", "", np.nan]
    asked.loc[asked.index[3], "code"] = 4.0
    forest = RandomForestRegressor(ROUND, **small)
    for name, columns, model, target in [
        ("pipe_onehot", ColumnTransformer([
            ("shop", OneHotEncoder(handle_unknown="ignore"), ["shop"]),
            ("number", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["size", "weight"]),
            ("rest", "passthrough", ["wave"])]), forest, y),
        ("pipe_ordinal", ColumnTransformer([
            ("shop", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2), ["shop", "code"]),
            ("number", Pipeline([("fill", SimpleImputer(strategy="constant", fill_value=9.0)), ("scale", MinMaxScaler(clip=True))]), slice(0, 3))],
            remainder="drop"), GradientBoostingClassifier(n_estimators=ROUND, random_state=1), three),
        ("pipe_fill_text", ColumnTransformer([
            ("shop", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", drop="first")), ["shop"]),
            ("scaled", make_pipeline(SimpleImputer(), RobustScaler()), [0, 1]),
            ("most", make_pipeline(SimpleImputer(strategy="mean"), MaxAbsScaler()), ["weight"])]), LogisticRegression(), two),
        ("pipe_remainder", ColumnTransformer([("shop", OneHotEncoder(handle_unknown="ignore"), ["shop", "code"])],
            remainder="passthrough"), HistGradientBoostingRegressor(**hist), y),
    ]:
        if name == "pipe_remainder":
            columns.set_params(sparse_threshold=0)
        fitted = Pipeline([("columns", columns), ("model", model)]).fit(frame, target)
        if name == "pipe_fill_text":
            asked.loc[asked.index[:2], "shop"] = ["never seen", "odd"]
        explained = None
        if name == "pipe_onehot":
            dense = np.asarray(fitted[0].transform(asked).todense() if hasattr(fitted[0].transform(asked), "todense") else fitted[0].transform(asked))
            values, base = parts(fitted[-1], dense)
            shops = len(fitted[0].named_transformers_["shop"].categories_[0])
            by = {"shop": values[:, :, :shops].sum(2), "size": values[:, :, shops], "weight": values[:, :, shops + 1], "wave": values[:, :, shops + 2]}
            explained = np.stack([by[c] for c in ("size", "weight", "wave", "shop")], axis=2), base
        save(name, fitted, asked, explained=explained)

    sio.dump(make_pipeline(PCA(2), Ridge()).fit(clean, y), OUT / "pca.refused")
    sio.dump(KNeighborsClassifier().fit(clean, two), OUT / "neighbours.refused")
    sio.dump(LinearRegression().fit(clean, np.c_[y, y]), OUT / "two_targets.refused")


def fixtures():
    """Small models on columns `size` and `shop` (text): something to damage, without answers."""
    import zipfile

    import lightgbm as lgb
    import skops.io as sio
    import xgboost as xgb
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, y = table(np.random.default_rng(9), 200)
    frame = frame[["size", "shop"]].assign(shop=frame["shop"].cat.rename_categories({"søuth": "south"}))
    three = np.digitize(y, [-0.3, 1.0])
    model = xgb.XGBClassifier(n_estimators=2, max_depth=3, enable_categorical=True, max_cat_to_onehot=1, n_jobs=1).fit(frame, three)
    model.save_model(OUT / "xgboost.json")
    model.save_model(OUT / "xgboost.ubj")
    model = lgb.LGBMClassifier(n_estimators=2, num_leaves=5, max_cat_to_onehot=1, min_data_per_group=5, n_jobs=1, verbose=-1)
    model.fit(frame, three).booster_.save_model(OUT / "lightgbm.txt")
    text = frame.assign(shop=frame["shop"].astype(object).where(frame["shop"].notna(), np.nan))
    columns = ColumnTransformer([
        ("shop", OneHotEncoder(handle_unknown="ignore"), ["shop"]),
        ("size", make_pipeline(SimpleImputer(), StandardScaler()), ["size"])])
    model = Pipeline([("columns", columns), ("model", RandomForestClassifier(2, max_depth=3, random_state=1))]).fit(text, three)
    sio.dump(model, OUT / "forest.skops", compression=zipfile.ZIP_DEFLATED)
    model = HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=5, random_state=1).fit(frame, three)
    sio.dump(model, OUT / "histogram.skops", compression=zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    globals()[sys.argv[1]]()
