//! What tracking promises, seen from outside.
#![allow(clippy::unwrap_used)]

mod support;

use gyre_core::Fact;
use gyre_core::fact::TrackingChange;
use gyre_store::{StoreError, journal};
use gyre_tracking::batch::{About, Batch, Metric};
use gyre_tracking::experiments::{self, NewExperiment, Stage};
use gyre_tracking::inputs::{self, Dataset, DatasetInput, ModelOutput};
use gyre_tracking::logged_models::{self, ModelStatus, NewModel};
use gyre_tracking::points::Point;
use gyre_tracking::purge::{self, Gone, Purge};
use gyre_tracking::runs::{self, NewRun, RunUpdate};
use gyre_tracking::{RunStatus, data, history, seal};
use support::{by, metric, new_run, on_each_store};

fn invalid<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> String {
    match outcome {
        Err(StoreError::Invalid(message)) => message,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn an_experiment_keeps_its_name_while_it_is_put_aside() {
    on_each_store(|store| {
        let named = |name: &str| NewExperiment { name: name.to_owned(), ..NewExperiment::default() };
        let id = store.write(move |tx| experiments::create(tx, named("a"), &by(5))).unwrap();
        let there = store.read(|tx| experiments::get(tx, id)).unwrap();
        assert_eq!((there.stage, there.created), (Stage::Active, 5));
        assert_eq!(there.artifact_location, format!("mlflow-artifacts:/{id}"));
        let run = store.write(move |tx| new_run(tx, id)).unwrap();

        store.write(move |tx| experiments::delete(tx, id, &by(6))).unwrap();
        let again = store.write(move |tx| experiments::create(tx, named("a"), &by(7)));
        assert!(matches!(again, Err(StoreError::Exists { .. })));
        let deleted = store.write(move |tx| experiments::delete(tx, id, &by(7)));
        assert!(matches!(deleted, Err(StoreError::NotFound { .. })));
        assert!(invalid(store.write(move |tx| new_run(tx, id))).contains("deleted"));
        let (by_name, info) =
            store.read(|tx| Ok((experiments::by_name(tx, "a")?, runs::get(tx, &run.run_id)?))).unwrap();
        assert_eq!((by_name.unwrap().stage, info.stage), (Stage::Deleted, Stage::Deleted));

        store.write(move |tx| experiments::restore(tx, id, &by(8))).unwrap();
        assert_eq!(store.read(|tx| runs::get(tx, &run.run_id)).unwrap().stage, Stage::Active);
        let unknown = store.write(|tx| new_run(tx, 999));
        assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
    });
}

#[test]
fn a_batch_is_all_or_nothing_and_may_be_sent_again() {
    on_each_store(|store| {
        let run = store.write(|tx| new_run(tx, 0)).unwrap();
        let id = run.run_id.clone();
        let metrics = vec![
            metric("acc", 0.5, 2),
            metric("acc", f64::NAN, 3),
            metric("acc", 0.9, 1),
            metric("loss", f64::INFINITY, 0),
        ];
        let params = vec![("lr".to_owned(), "0.1".to_owned())];
        let tags =
            vec![("team".to_owned(), "a".to_owned()), ("mlflow.runName".to_owned(), "best".to_owned())];
        for _ in 0..2 {
            let batch = Batch::new(metrics.clone(), params.clone(), tags.clone()).unwrap();
            let id = id.clone();
            store.write(move |tx| batch.write(tx, &id)).unwrap();
        }
        let other =
            Batch::new(vec![metric("new", 1.0, 0)], vec![("lr".to_owned(), "0.2".to_owned())], vec![])
                .unwrap();
        let told = {
            let id = id.clone();
            invalid(store.write(move |tx| other.write(tx, &id)))
        };
        assert!(told.contains("`0.1` already"), "{told}");

        let (found, acc, loss) = store
            .read(|tx| {
                Ok((data::run(tx, &id)?, history::of_run(tx, &id, "acc")?, history::of_run(tx, &id, "loss")?))
            })
            .unwrap();
        assert_eq!(acc.iter().map(|p| p.step).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(loss, [Point { timestamp: 0, step: 0, value: f64::MAX }]);
        let latest: Vec<_> =
            found.metrics.iter().map(|m| (m.key.as_str(), m.step, m.value.is_nan())).collect();
        assert_eq!(latest, [("acc", 3, true), ("loss", 0, false)]);
        assert_eq!(found.params, params);
        assert_eq!(found.info.name, "best");
        assert!(found.tags.contains(&("team".to_owned(), "a".to_owned())));
    });
}

#[test]
fn a_history_logged_one_by_one_is_the_history_logged_at_once() {
    on_each_store(|store| {
        let run = store.write(|tx| new_run(tx, 0)).unwrap();
        for step in 0..1500 {
            let (id, batch) = (
                run.run_id.clone(),
                Batch::new(vec![metric("m", step as f64, step)], vec![], vec![]).unwrap(),
            );
            store.write(move |tx| batch.write(tx, &id)).unwrap();
        }
        let points = store.read(|tx| history::of_run(tx, &run.run_id, "m")).unwrap();
        assert_eq!(points.len(), 1500);
        assert!(points.iter().enumerate().all(|(n, p)| p.step == n as i64 && p.value == n as f64));
    });
}

#[test]
fn what_cannot_be_logged_is_refused_with_its_reason() {
    let batch = |metrics, params| Batch::new(metrics, params, vec![]);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert!(invalid(batch(vec![metric("../a", 0.0, 0)], vec![])).contains("no plain path"));
    let mut early = metric("a", 0.0, 0);
    early.point.timestamp = -1;
    assert!(invalid(batch(vec![early], vec![])).contains("timestamp"));
    assert!(invalid(batch(vec![], vec![pair("a", "1"), pair("a", "1")])).contains("twice"));
    assert!(invalid(batch(vec![metric("a", 0.0, 0); 1001], vec![])).contains("1001 metrics"));
    assert!(
        invalid(batch(vec![], (0..101).map(|n| pair(&n.to_string(), "")).collect())).contains("101 params")
    );
    on_each_store(|store| {
        let run = store.write(|tx| new_run(tx, 0)).unwrap();
        let id = run.run_id.clone();
        store.write(move |tx| runs::delete(tx, &id, &by(1))).unwrap();
        let write = |id: &str| {
            let (id, batch) = (id.to_owned(), Batch::new(vec![metric("a", 0.0, 0)], vec![], vec![]).unwrap());
            store.write(move |tx| batch.write(tx, &id))
        };
        assert!(invalid(write(&run.run_id)).contains("deleted"));
        assert!(matches!(write("nobody"), Err(StoreError::NotFound { .. })));
    });
}

#[test]
fn a_runs_end_is_told_with_a_seal_over_all_that_it_logged() {
    on_each_store(|store| {
        let logged = |values: [f64; 2]| {
            let run = store
                .write(|tx| {
                    runs::create(tx, NewRun { run_id: None, user_id: "u".to_owned(), ..NewRun::default() })
                })
                .unwrap()
                .info;
            for (step, value) in values.into_iter().enumerate() {
                let (id, batch) = (
                    run.run_id.clone(),
                    Batch::new(vec![metric("m", value, step as i64)], vec![], vec![]).unwrap(),
                );
                store.write(move |tx| batch.write(tx, &id)).unwrap();
            }
            run.run_id
        };
        let first = logged([1.0, 2.0]);
        let before = store.read(|tx| seal(tx, &first, None)).unwrap();
        assert_eq!(store.read(|tx| seal(tx, &first, None)).unwrap(), before);
        let (id, size) = (first.clone(), store.journal_size());
        let update =
            RunUpdate { status: Some(RunStatus::Finished), ended: Some(9), name: None, seal: Some(before) };
        store.write(move |tx| runs::update(tx, &id, update, &by(9))).unwrap();
        let told = store.read(|tx| journal::entries(tx, size, 10)).unwrap();
        let [entry] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((entry.actor.as_str(), entry.origin.as_deref()), ("user:test", Some("127.0.0.1")));
        let Fact::Tracking(TrackingChange::RunEnded { run, status, digest, .. }) = &entry.fact else {
            panic!("{entry:?}")
        };
        assert_eq!((run, status.as_str(), digest), (&first, "FINISHED", &before));

        let id = first.clone();
        let more = Batch::new(vec![metric("m", 3.0, 2)], vec![], vec![]).unwrap();
        store.write(move |tx| more.write(tx, &id)).unwrap();
        assert_ne!(store.read(|tx| seal(tx, &first, None)).unwrap(), before);
        assert!(journal::verify(store).unwrap().verified);
    });
}

#[test]
fn inputs_outputs_and_logged_models_belong_to_their_run() {
    on_each_store(|store| {
        let run = store.write(|tx| new_run(tx, 0)).unwrap();
        let (id, run_id) = (run.run_id.clone(), run.run_id.clone());
        let new = NewModel {
            name: Some("clf".to_owned()),
            source_run_id: Some(run_id.clone()),
            ..NewModel::default()
        };
        let model = store.write(move |tx| logged_models::create(tx, new, &by(3))).unwrap();
        assert_eq!(model.artifact_uri, format!("mlflow-artifacts:/0/models/{}/artifacts", model.model_id));
        let dataset = Dataset {
            name: "d".to_owned(),
            digest: "x".to_owned(),
            source_type: "local".to_owned(),
            source: "{}".to_owned(),
            ..Dataset::default()
        };
        let input =
            DatasetInput { dataset, tags: vec![("mlflow.data.context".to_owned(), "training".to_owned())] };
        let model_id = model.model_id.clone();
        let (logged, output) = (input.clone(), ModelOutput { model_id: model_id.clone(), step: 4 });
        store
            .write(move |tx| {
                inputs::log_inputs(tx, &id, std::slice::from_ref(&logged), &[])?;
                inputs::log_inputs(tx, &id, &[logged], &[])?;
                inputs::log_outputs(tx, &id, &[output])
            })
            .unwrap();
        let about =
            About { model_id: model_id.clone(), dataset: "d".to_owned(), dataset_digest: "x".to_owned() };
        let measured = Metric { about: Some(about), ..metric("acc", 0.7, 1) };
        let (batch, id) = (Batch::new(vec![measured], vec![], vec![]).unwrap(), run_id.clone());
        store.write(move |tx| batch.write(tx, &id)).unwrap();
        let id = model_id.clone();
        let ready =
            store.write(move |tx| logged_models::finalize(tx, &id, ModelStatus::Ready, &by(4))).unwrap();
        assert_eq!((ready.status, ready.updated), (ModelStatus::Ready, 4));
        assert_eq!((ready.metrics[0].metric.value, ready.metrics[0].dataset.0.as_str()), (0.7, "d"));
        let found = store.read(|tx| data::run(tx, &run_id)).unwrap();
        assert_eq!(found.links.datasets, [input]);
        assert_eq!(found.links.model_outputs, [ModelOutput { model_id, step: 4 }]);
        assert_eq!(
            store.read(|tx| inputs::datasets_of(tx, 0, 10)).unwrap()[0].context.as_deref(),
            Some("training")
        );
    });
}

#[test]
fn what_was_put_aside_can_be_removed_for_good_and_nothing_else() {
    on_each_store(|store| {
        let id = store
            .write(|tx| {
                experiments::create(
                    tx,
                    NewExperiment { name: "e".to_owned(), ..NewExperiment::default() },
                    &by(1),
                )
            })
            .unwrap();
        let (kept, gone) = store.write(move |tx| Ok((new_run(tx, 0)?, new_run(tx, id)?))).unwrap();
        for run in [&kept, &gone] {
            let (id, batch) =
                (run.run_id.clone(), Batch::new(vec![metric("m", 1.0, 0)], vec![], vec![]).unwrap());
            store.write(move |tx| batch.write(tx, &id)).unwrap();
        }
        store.write(move |tx| experiments::delete(tx, id, &by(10))).unwrap();
        let purge = |before| Purge { before, ..Purge::default() };
        assert!(store.read(|tx| purge::survey(tx, &purge(10))).unwrap().is_empty());
        let found = store.read(|tx| purge::survey(tx, &purge(11))).unwrap();
        assert_eq!(found.runs[0].id, gone.run_id);
        for part in found.parts() {
            store.write(move |tx| purge::remove(tx, &purge(11), &part, &by(12))).unwrap();
        }
        assert!(store.read(|tx| runs::find(tx, &gone.run_id)).unwrap().is_none());
        assert_eq!(store.read(|tx| history::all(tx, gone.run, "m")).unwrap(), []);
        assert_eq!(store.read(|tx| history::of_run(tx, &kept.run_id, "m")).unwrap().len(), 1);
        store
            .write(|tx| {
                experiments::create(
                    tx,
                    NewExperiment { name: "e".to_owned(), ..NewExperiment::default() },
                    &by(13),
                )
            })
            .unwrap();
    });
}

#[test]
fn what_a_registered_version_came_from_is_held_back_and_what_was_restored_stays() {
    on_each_store(|store| {
        let new = |name: &str| NewExperiment { name: name.to_owned(), ..NewExperiment::default() };
        let (first, second) = (new("a"), new("b"));
        let (first, second) = store
            .write(move |tx| {
                Ok((experiments::create(tx, first, &by(1))?, experiments::create(tx, second, &by(1))?))
            })
            .unwrap();
        let runs = store
            .write(move |tx| Ok([new_run(tx, first)?, new_run(tx, first)?, new_run(tx, second)?]))
            .unwrap();
        let model = NewModel { experiment: second, name: Some("m".to_owned()), ..NewModel::default() };
        let model = store.write(move |tx| logged_models::create(tx, model, &by(1))).unwrap();
        for id in [first, second] {
            store.write(move |tx| experiments::delete(tx, id, &by(10))).unwrap();
        }
        let ids = |gone: &[Gone]| gone.iter().map(|gone| gone.id.clone()).collect::<Vec<_>>();
        let survey = |needed: &str| {
            let needed = [needed.to_owned()].into();
            store.read(|tx| purge::survey(tx, &Purge { before: 11, needed, ..Purge::default() })).unwrap()
        };
        let all = survey("runs:/another");
        assert_eq!(
            (all.runs.len(), ids(&all.models), all.experiments.len()),
            (3, vec![model.model_id.clone()], 2)
        );
        assert_eq!(all.experiments[0].folder, Some(format!("mlflow-artifacts:/{first}")));
        let within = format!("{}/model", runs[0].artifact_uri);
        for needed in [format!("runs:/{}", runs[0].run_id), format!("runs:/{}/model", runs[0].run_id), within]
        {
            let found = survey(&needed);
            assert_eq!(found.held, [runs[0].run_id.clone()], "{needed}");
            assert_eq!(ids(&found.runs), [runs[1].run_id.clone(), runs[2].run_id.clone()]);
            assert_eq!(
                found.experiments.iter().map(|gone| gone.id).collect::<Vec<_>>(),
                [second],
                "{needed}"
            );
        }
        assert_eq!(survey(&format!("models:/{}", model.model_id)).experiments.len(), 1);
        assert_eq!(
            survey(&format!("mlflow-artifacts:/{second}/x")).experiments[1].folder,
            None,
            "another's folder"
        );

        // Between the survey and its end, somebody changes his mind.
        store.write(move |tx| experiments::restore(tx, second, &by(20))).unwrap();
        let mut removed = Vec::new();
        for part in all.parts() {
            let purge = Purge { before: 11, ..Purge::default() };
            let part = store.write(move |tx| purge::remove(tx, &purge, &part, &by(21))).unwrap();
            removed.extend(ids(&part.runs).into_iter().chain(ids(&part.models)));
            removed.extend(part.experiments.iter().map(|gone| gone.id.to_string()));
        }
        assert_eq!(removed, [runs[0].run_id.clone(), runs[1].run_id.clone(), first.to_string()]);
        assert!(store.read(|tx| logged_models::get(tx, &model.model_id)).is_ok());
    });
}

#[test]
fn only_what_is_asked_for_is_removed() {
    on_each_store(|store| {
        let runs = store.write(|tx| Ok([new_run(tx, 0)?, new_run(tx, 0)?, new_run(tx, 0)?])).unwrap();
        for run in &runs[..2] {
            let id = run.run_id.clone();
            store.write(move |tx| runs::delete(tx, &id, &by(10))).unwrap();
        }
        let of = |purge: Purge| {
            let found = store.read(|tx| purge::survey(tx, &purge)).unwrap();
            found.runs.into_iter().map(|gone| gone.id).collect::<Vec<_>>()
        };
        let all = Purge { before: 11, ..Purge::default() };
        assert_eq!(of(all.clone()), [runs[0].run_id.clone(), runs[1].run_id.clone()]);
        assert_eq!(
            of(Purge { run_ids: [runs[1].run_id.clone()].into(), ..all.clone() }),
            [runs[1].run_id.clone()]
        );
        assert_eq!(
            of(Purge { run_ids: [runs[2].run_id.clone()].into(), ..all.clone() }),
            Vec::<String>::new()
        );
        assert_eq!(of(Purge { experiments: [1].into(), ..all.clone() }), Vec::<String>::new());
        assert_eq!(
            of(Purge { experiments: [0].into(), ..all }).len(),
            2,
            "also of one that is not put aside itself"
        );
    });
}
