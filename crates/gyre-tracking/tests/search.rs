//! Searching finds what a plain look at everything finds, whichever way it goes, page by page.
#![allow(clippy::unwrap_used)]

mod support;

use gyre_store::{Store, StoreError};
use gyre_tracking::batch::Batch;
use gyre_tracking::experiments::{self, NewExperiment};
use gyre_tracking::logged_models::{self, NewModel};
use gyre_tracking::runs::{self, NewRun};
use gyre_tracking::search::{self, ExperimentSearch, ModelSearch, RunSearch, View};
use support::{by, metric, on_each_store};

/// Runs in two experiments; every seventh lacks `acc`, every eleventh has NaN; `lr` has five values; every 13th is put aside.
fn seed(store: &Store, count: usize) -> (i64, Vec<(String, Option<f64>)>) {
    let other = store
        .write(|tx| {
            experiments::create(
                tx,
                NewExperiment { name: "other".to_owned(), ..NewExperiment::default() },
                &by(1),
            )
        })
        .unwrap();
    let facts = store
        .write(move |tx| {
            let mut facts = Vec::new();
            for n in 0..count {
                let experiment = if n % 3 == 0 { other } else { 0 };
                let run = runs::create(
                    tx,
                    NewRun {
                        experiment,
                        run_id: Some(format!("run{n:05}")),
                        name: Some(format!("Name-{}", n % 10)),
                        user_id: "u".to_owned(),
                        started: (n as i64 * 7919) % 1000,
                        tags: vec![("team".to_owned(), format!("t{}", n % 4))],
                        origin: None,
                    },
                )?
                .info;
                let acc = match n {
                    n if n % 7 == 0 => None,
                    n if n % 11 == 0 => Some(f64::NAN),
                    n => Some(((n * 2_654_435_761) % 1000) as f64 / 1000.0),
                };
                let metrics = acc.map(|value| metric("acc", value, 0)).into_iter().collect();
                let params = vec![("lr".to_owned(), ["0.1", "0.01", "0.3", "1", "2"][n % 5].to_owned())];
                Batch::new(metrics, params, vec![])?.write(tx, &run.run_id)?;
                if n % 13 == 0 {
                    runs::delete(tx, &run.run_id, &by(2))?;
                }
                facts.push((run.run_id, acc));
            }
            Ok(facts)
        })
        .unwrap();
    (other, facts)
}

fn ask(filter: &str, order_by: &[&str]) -> RunSearch {
    RunSearch {
        experiments: vec![0],
        filter: filter.to_owned(),
        order_by: order_by.iter().map(|order| (*order).to_owned()).collect(),
        limit: 1000,
        ..RunSearch::default()
    }
}

fn ids(store: &Store, search: &RunSearch) -> Vec<String> {
    let page = store.read(|tx| search::infos(tx, search)).unwrap();
    page.items.into_iter().map(|run| run.run_id).collect()
}

/// All pages of `limit` runs, one after another.
fn paged(store: &Store, search: &RunSearch, limit: usize) -> Vec<String> {
    let mut search = RunSearch { limit, ..search.clone() };
    let mut all = Vec::new();
    loop {
        let page = store.read(|tx| search::infos(tx, &search)).unwrap();
        assert!(page.items.len() <= limit);
        all.extend(page.items.into_iter().map(|run| run.run_id));
        match page.next {
            Some(next) => search.page_token = Some(next),
            None => return all,
        }
    }
}

#[test]
fn the_answer_is_in_order_and_the_same_in_pages() {
    on_each_store(|store| {
        let (other, facts) = seed(store, 600);
        let acc = |id: &String| facts.iter().find(|(run, _)| run == id).unwrap().1;
        for (filter, orders) in [
            ("", &[][..]),
            ("", &["metrics.acc DESC"]),
            ("", &["metrics.acc ASC"]),
            ("metrics.acc > 0.9", &["metrics.acc DESC"]),
            ("metrics.acc > 0.2 AND params.lr = '0.1'", &["metrics.acc DESC"]),
            ("params.lr != '0.1'", &["params.lr", "metrics.acc"]),
            ("tags.team = 't3'", &["start_time ASC"]),
            ("tags.team LIKE 't%'", &["tags.team DESC", "run_name"]),
            ("metrics.acc != 0.5", &["end_time", "status"]),
        ] {
            for experiments in [vec![0], vec![0, other]] {
                for view in [View::Active, View::Deleted, View::All] {
                    let search = RunSearch { experiments: experiments.clone(), view, ..ask(filter, orders) };
                    let whole = ids(store, &search);
                    for limit in [5, 100] {
                        assert_eq!(
                            paged(store, &search, limit),
                            whole,
                            "{filter} {orders:?} {view:?} {limit}"
                        );
                    }
                    if orders.first() == Some(&"metrics.acc DESC") {
                        let place = |id: &String| {
                            acc(id).map_or((2, 0.0), |v| if v.is_nan() { (1, 0.0) } else { (0, -v) })
                        };
                        assert!(whole.is_sorted_by(|a, b| place(a) <= place(b)), "{filter} {view:?}");
                    }
                }
            }
        }
        let all = RunSearch { experiments: vec![0, other], view: View::All, ..ask("", &[]) };
        assert_eq!(ids(store, &all).len(), 600);
    });
}

#[test]
fn each_way_of_searching_finds_what_a_plain_look_finds() {
    on_each_store(|store| {
        // Enough that no clause leads at once, so that walks and their limits are tried.
        let (_, facts) = seed(store, 9_000);
        let here = |n: usize| !n.is_multiple_of(3) && !n.is_multiple_of(13);
        let mut best: Vec<(f64, usize)> = facts
            .iter()
            .enumerate()
            .filter(|(n, (_, acc))| here(*n) && n % 5 < 4 && acc.is_some_and(|acc| acc > 0.1))
            .map(|(n, (_, acc))| (acc.unwrap(), n))
            .collect();
        let started = |n: usize| (n as i64 * 7919) % 1000;
        best.sort_by(|a, b| b.0.total_cmp(&a.0).then(started(b.1).cmp(&started(a.1))).then(a.1.cmp(&b.1)));
        let search =
            RunSearch { limit: 50, ..ask("metrics.acc > 0.1 AND params.lr != '2'", &["metrics.acc DESC"]) };
        let expected: Vec<String> = best.iter().take(50).map(|(_, n)| format!("run{n:05}")).collect();
        assert_eq!(ids(store, &search), expected);
        let expected: Vec<String> = best.iter().map(|(_, n)| format!("run{n:05}")).collect();
        assert_eq!(paged(store, &search, 777), expected);

        let nothing = ask("metrics.acc > 0.1 AND params.lr = 'nothing'", &["metrics.acc DESC"]);
        assert_eq!(ids(store, &nothing), Vec::<String>::new());
        let rare = ask("metrics.acc >= 0 AND tags.team = 't1' AND run_id = 'run00001'", &[]);
        assert_eq!(ids(store, &rare), ["run00001"]);
    });
}

#[test]
fn comparisons_mean_what_they_say() {
    on_each_store(|store| {
        seed(store, 120);
        let count = |filter: &str| ids(store, &ask(filter, &[])).len();
        let here = (0..120).filter(|n| n % 3 != 0 && n % 13 != 0).count();
        assert_eq!(count(""), here);
        assert_eq!(count("run_name LIKE 'Name-1'"), count("run_name = 'Name-1'"));
        assert_eq!(count("run_name LIKE 'name-%'"), 0);
        assert_eq!(count("run_name ILIKE 'name-%'"), here);
        assert_eq!(count("run_name LIKE 'Name~_'"), 0);
        assert_eq!(count("run_id IN ('run00001', 'run00002', 'run00003')"), 2);
        assert_eq!(count("run_id NOT IN ('run00001', 'run00002')"), here - 2);
        assert_eq!(count("params.nothing IS NULL"), here);
        assert_eq!(count("params.lr IS NOT NULL AND tags.nothing IS NULL"), here);
        assert_eq!(count("params.nothing != 'x'"), 0);
        assert_eq!(count("start_time >= 0.5"), count("start_time > 0"));
        assert_eq!(count("start_time != 0.5"), here);
        assert_eq!(count("status = 'RUNNING' AND end_time > 0"), 0);
        let nan = (0..120).filter(|n| n % 3 != 0 && n % 13 != 0 && n % 7 != 0 && n % 11 == 0).count();
        let with_acc = (0..120).filter(|n| n % 3 != 0 && n % 13 != 0 && n % 7 != 0).count();
        assert_eq!(count("metrics.acc != 17"), with_acc);
        assert_eq!(count("metrics.acc >= -1e300"), with_acc - nan);
    });
}

#[test]
fn what_is_not_understood_is_refused() {
    on_each_store(|store| {
        seed(store, 20);
        let refused = |search: &RunSearch| match store.read(|tx| search::infos(tx, search)) {
            Err(StoreError::Invalid(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(refused(&RunSearch { limit: 0, ..ask("", &[]) }).contains("max_results"));
        assert!(refused(&ask("", &["metrics.a", "metrics.a DESC"])).contains("twice"));
        assert!(refused(&ask("a' OR 1=1 --", &[])).contains("never closed"));
        let first = RunSearch { limit: 2, ..ask("", &[]) };
        let token = store.read(|tx| search::infos(tx, &first)).unwrap().next;
        let other = RunSearch { page_token: token, ..ask("metrics.acc > 0", &[]) };
        assert!(refused(&other).contains("another search"));
        let nonsense = RunSearch { page_token: Some("xyz".to_owned()), ..ask("", &[]) };
        assert!(refused(&nonsense).contains("not one of this server's"));
    });
}

#[test]
fn experiments_and_logged_models_are_searched_alike() {
    on_each_store(|store| {
        for n in 0..25 {
            store
                .write(move |tx| {
                    let tags = vec![("even".to_owned(), (n % 2 == 0).to_string())];
                    let name = format!("exp{n:02}");
                    experiments::create(
                        tx,
                        NewExperiment { name, tags, ..NewExperiment::default() },
                        &by(n),
                    )?;
                    let params = vec![("n".to_owned(), n.to_string())];
                    let name = Some(format!("model{n:02}"));
                    logged_models::create(tx, NewModel { name, params, ..NewModel::default() }, &by(n))
                })
                .unwrap();
        }
        let mut asked = ExperimentSearch {
            filter: "name LIKE 'exp%' AND tags.even = 'true'".to_owned(),
            order_by: vec!["name DESC".to_owned()],
            limit: 5,
            ..ExperimentSearch::default()
        };
        let mut names = Vec::new();
        loop {
            let page = store.read(|tx| search::experiments(tx, &asked)).unwrap();
            names.extend(page.items.into_iter().map(|e| e.name));
            let Some(next) = page.next else { break };
            asked.page_token = Some(next);
        }
        let expected: Vec<String> =
            (0..25).rev().filter(|n| n % 2 == 0).map(|n| format!("exp{n:02}")).collect();
        assert_eq!(names, expected);
        let asked = ModelSearch {
            experiments: vec![0],
            filter: "params.n IN ('3', '4') AND name ILIKE 'MODEL%'".to_owned(),
            limit: 10,
            ..ModelSearch::default()
        };
        let found = store.read(|tx| search::logged_models(tx, &asked)).unwrap();
        assert_eq!(found.items.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["model04", "model03"]);
    });
}
