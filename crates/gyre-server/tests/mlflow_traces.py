"""MLflow's Python client traces, judges and searches, as its users write it. Asked by tests/mlflow_traces.rs; argument: the server."""

import os
import sys

os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

import mlflow
from mlflow.entities import AssessmentSource, Feedback, SpanType
from mlflow.exceptions import MlflowException
from mlflow.genai import datasets
from mlflow.genai.scorers import Guidelines, delete_scorer, get_scorer, list_scorers
from mlflow.genai.scorers.registry import list_scorer_versions

mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
me = AssessmentSource(source_type="HUMAN", source_id="me")


def search(**more):
    return mlflow.search_traces(locations=["0"], return_type="list", **more)


def tracing():
    @mlflow.trace(name="add", span_type=SpanType.TOOL, attributes={"k": "v"})
    def add(x, y):
        return x + y

    with mlflow.start_span("outer") as span:
        span.set_inputs({"a": 1, "b": "ü"})
        assert add(1, 2) == 3
        span.set_outputs("done")
        span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})
        mlflow.update_current_trace(
            tags={"t": "1"}, metadata={"mlflow.trace.session": "sess", "m": "x"}, client_request_id="c1"
        )
        trace_id = span.trace_id
    try:
        with mlflow.start_span("bad"):
            raise ValueError("no")
    except ValueError:
        pass

    trace = mlflow.get_trace(trace_id)
    assert trace.info.state == "OK" and trace.info.client_request_id == "c1", trace.info
    assert trace.info.token_usage == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}, trace.info.token_usage
    assert trace.info.request_preview == '{"a": 1, "b": "ü"}' and trace.info.response_preview == '"done"'
    assert trace.info.tags["mlflow.traceName"] == "outer" and trace.info.tags["t"] == "1"
    outer, inner = trace.data.spans
    assert (outer.name, outer.inputs, outer.outputs, outer.parent_id) == ("outer", {"a": 1, "b": "ü"}, "done", None)
    assert (inner.name, inner.inputs, inner.outputs, inner.parent_id) == ("add", {"x": 1, "y": 2}, 3, outer.span_id)
    assert inner.span_type == "TOOL" and inner.get_attribute("k") == "v"
    assert inner.start_time_ns < inner.end_time_ns

    bad, good = search()
    assert bad.info.state == "ERROR" and good.info.trace_id == trace_id
    (event,) = bad.data.spans[0].events
    assert event.name == "exception" and event.attributes["exception.message"] == "no", event
    for found, text in [
        (1, "tags.t = '1' AND trace.status = 'OK'"),
        (1, "span.name = 'add' AND span.type = 'TOOL'"),
        (1, "span.attributes.k = 'v'"),
        (1, "metadata.m = 'x' AND timestamp_ms > 0 AND execution_time_ms < 60000"),
        (2, "name RLIKE '^(outer|bad)$'"),
        (1, "trace.text LIKE '%ü%'"),
        (0, "trace.name = 'Outer'"),
    ]:
        assert len(search(filter_string=text, include_spans=False)) == found, text
    assert [t.info.tags["mlflow.traceName"] for t in search(order_by=["timestamp_ms ASC"])] == ["outer", "bad"]
    assert len(mlflow.search_traces(locations=["0"])) == 2
    try:
        search(filter_string="status = 'OK' OR status = 'ERROR'")
        raise AssertionError("OR is not supported")
    except MlflowException as error:
        assert error.error_code == "INVALID_PARAMETER_VALUE", error
    mlflow.set_trace_tag(trace_id, "u", "2")
    mlflow.delete_trace_tag(trace_id, "t")
    assert mlflow.get_trace(trace_id).info.tags["u"] == "2" and "t" not in mlflow.get_trace(trace_id).info.tags
    return trace_id


def judging(trace_id):
    feedback = mlflow.log_feedback(
        trace_id=trace_id, name="ok", value=True, source=me, rationale="r", metadata={"z": "1"}
    )
    assert feedback.value is True and feedback.metadata == {"z": "1"}
    want = mlflow.log_expectation(trace_id=trace_id, name="want", value={"a": [1]}, source=me)
    assert want.value == {"a": [1]}
    mlflow.log_feedback(trace_id=trace_id, name="score", value=0.9)
    mlflow.log_feedback(trace_id=trace_id, name="err", error=ValueError("x"))
    mlflow.update_assessment(
        trace_id=trace_id, assessment_id=feedback.assessment_id, assessment=Feedback(name="ok", value=False, rationale="q")
    )
    better = mlflow.override_feedback(
        trace_id=trace_id, assessment_id=feedback.assessment_id, value=True, rationale="back"
    )
    before = mlflow.get_assessment(trace_id, feedback.assessment_id)
    assert (before.value, before.rationale, before.valid) == (False, "q", False), before
    assert len(search(filter_string="feedback.ok = 'true' AND feedback.score > 0.5")) == 1
    assert len(search(filter_string="feedback.ok = 'false'")) == 0
    mlflow.delete_assessment(trace_id=trace_id, assessment_id=better.assessment_id)
    assert mlflow.get_assessment(trace_id, feedback.assessment_id).valid
    names = {a.name: a for a in mlflow.get_trace(trace_id).info.assessments}
    assert set(names) == {"ok", "want", "score", "err"} and names["err"].error.error_code == "ValueError"


def deleting(trace_id):
    assert client.delete_traces(experiment_id="0", trace_ids=[trace_id]) == 1
    assert client.delete_traces(experiment_id="0", max_timestamp_millis=2**50, max_traces=10) == 1
    assert search() == []


def running(trace_id):
    with mlflow.start_run() as run:
        with mlflow.start_span("inside"):
            pass
    assert [t.info.tags["mlflow.traceName"] for t in search(run_id=run.info.run_id)] == ["inside"]
    client.link_traces_to_run([trace_id], run.info.run_id)
    assert {t.info.tags["mlflow.traceName"] for t in search(run_id=run.info.run_id)} == {"inside", "outer"}
    assert client.delete_traces(experiment_id="0", trace_ids=[search(filter_string="name = 'inside'")[0].info.trace_id]) == 1


def collecting(trace_id):
    dataset = datasets.create_dataset(name="d1", experiment_id="0", tags={"a": "b"})
    assert (dataset.name, dataset.tags["a"], dataset.experiment_ids) == ("d1", "b", ["0"])
    dataset.merge_records(
        [
            {"inputs": {"q": "x"}, "expectations": {"e": 1}, "tags": {"s": "t"}},
            {"inputs": {"q": "y"}, "outputs": {"o": 1}},
        ]
    )
    dataset.merge_records([{"inputs": {"q": "x"}, "expectations": {"f": 2}}])
    dataset.merge_records([mlflow.get_trace(trace_id)])
    table = datasets.get_dataset(dataset_id=dataset.dataset_id).to_df()
    by_input = {str(row.inputs): row for row in table.itertuples()}
    assert set(by_input) == {"{'q': 'x'}", "{'q': 'y'}", "{'a': 1, 'b': 'ü'}"}, set(by_input)
    assert by_input["{'q': 'x'}"].expectations == {"e": 1, "f": 2}
    assert by_input["{'q': 'y'}"].outputs == {"o": 1}
    assert by_input["{'a': 1, 'b': 'ü'}"].expectations == {"want": {"a": [1]}}
    assert by_input["{'a': 1, 'b': 'ü'}"].source_type == "TRACE"
    (found,) = datasets.search_datasets(
        experiment_ids="0", filter_string="name LIKE 'd%' AND tags.a = 'b'", order_by=["created_time DESC"]
    )
    assert found.dataset_id == dataset.dataset_id
    datasets.set_dataset_tags(dataset_id=dataset.dataset_id, tags={"c": "d"})
    datasets.delete_dataset_tag(dataset_id=dataset.dataset_id, key="a")
    assert datasets.get_dataset(dataset_id=dataset.dataset_id).tags["c"] == "d"
    datasets.remove_dataset_from_experiments(dataset_id=dataset.dataset_id, experiment_ids=["0"])
    assert list(datasets.search_datasets(experiment_ids="0")) == []
    datasets.add_dataset_to_experiments(dataset_id=dataset.dataset_id, experiment_ids=["0"])
    dataset = datasets.get_dataset(dataset_id=dataset.dataset_id)
    assert dataset.delete_records([dataset.to_df()["dataset_record_id"][0]]) == 1
    datasets.delete_dataset(dataset_id=dataset.dataset_id)
    assert list(datasets.search_datasets(experiment_ids="0")) == []


def scoring():
    scorer = Guidelines(name="nice", guidelines="be nice", model="openai:/gpt-4o")
    scorer.register(experiment_id="0", name="nice")
    scorer.register(experiment_id="0", name="nice")
    assert [found.name for found in list_scorers(experiment_id="0")] == ["nice"]
    assert get_scorer(name="nice", experiment_id="0").guidelines == "be nice"
    assert [version for _, version in list_scorer_versions(name="nice", experiment_id="0")] == [1, 2]
    delete_scorer(name="nice", experiment_id="0", version=1)
    delete_scorer(name="nice", experiment_id="0", version="all")
    assert list_scorers(experiment_id="0") == []


trace_id = tracing()
judging(trace_id)
collecting(trace_id)
scoring()
running(trace_id)
deleting(trace_id)
print("everything is as it should be")
