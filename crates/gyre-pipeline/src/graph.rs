//! Which stage needs which: order, cycles, outputs that two stages make.

use gyre_core::Diagnostic;

use crate::stage::{Pipeline, Stage, within};

/// For each stage, the positions of the stages that make what it reads.
fn upstream(pipeline: &Pipeline) -> Vec<Vec<usize>> {
    let made: Vec<Vec<String>> = pipeline
        .stages
        .iter()
        .map(|stage| stage.outs.iter().map(|out| stage.locate(&out.path)).collect())
        .collect();
    let reads = |stage: &Stage| -> Vec<String> {
        let deps = stage.deps.iter().map(|dep| stage.locate(&dep.path));
        deps.chain(stage.params.iter().map(|params| stage.locate(&params.file))).collect()
    };
    let makes_any = |made: &[String], read: &[String]| {
        // A file in a directory that is made, or a directory in which something is made.
        made.iter().any(|made| read.iter().any(|read| within(read, made) || within(made, read)))
    };
    pipeline
        .stages
        .iter()
        .map(|stage| {
            let read = reads(stage);
            made.iter()
                .enumerate()
                .filter(|(_, made)| makes_any(made, &read))
                .map(|(maker, _)| maker)
                .collect()
        })
        .collect()
}

/// The stages to run for `targets` (all for none), each after those that it needs; otherwise in the file's order.
///
/// # Errors
/// The first target that is no stage.
pub(crate) fn order<'a>(pipeline: &'a Pipeline, targets: &[&str]) -> Result<Vec<&'a Stage>, String> {
    let upstream = upstream(pipeline);
    let mut wanted = Vec::new();
    for target in targets {
        match pipeline.stages.iter().position(|stage| stage.name == *target) {
            Some(position) => wanted.push(position),
            None => return Err((*target).to_owned()),
        }
    }
    if targets.is_empty() {
        wanted.extend(0..pipeline.stages.len());
    }
    let mut walk =
        Walk { upstream: &upstream, marks: vec![Mark::New; upstream.len()], order: Vec::new(), cycle: None };
    for position in wanted {
        walk.visit(position);
    }
    Ok(walk.order.into_iter().filter_map(|position| pipeline.stages.get(position)).collect())
}

/// Outputs that are made twice, and cycles.
pub(crate) fn check(pipeline: &Pipeline) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    let mut made: Vec<(String, &Stage)> = Vec::new();
    for stage in &pipeline.stages {
        for out in &stage.outs {
            let path = stage.locate(&out.path);
            let other = made.iter().find(|(other, _)| within(&path, other) || within(other, &path));
            if let Some((other, maker)) = other {
                let what = if *other == path {
                    format!("the output `{path}` is made by `{}` and by `{}`", maker.name, stage.name)
                } else {
                    format!(
                        "the outputs `{other}` of `{}` and `{path}` of `{}` overlap",
                        maker.name, stage.name
                    )
                };
                let diagnostic = Diagnostic::new(&pipeline.file, what).at(out.line, 0);
                wrong.push(diagnostic.expected("every output made by one stage only"));
            }
            made.push((path, stage));
        }
    }
    let upstream = upstream(pipeline);
    let mut walk =
        Walk { upstream: &upstream, marks: vec![Mark::New; upstream.len()], order: Vec::new(), cycle: None };
    (0..upstream.len()).for_each(|position| walk.visit(position));
    if let Some(cycle) = walk.cycle {
        let stages: Vec<&Stage> =
            cycle.iter().filter_map(|position| pipeline.stages.get(*position)).collect();
        let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
        let message = format!("the stages need each other in a circle: {}", names.join(" → "));
        let line = stages.first().map_or(0, |stage| stage.line);
        let diagnostic = Diagnostic::new(&pipeline.file, message).at(line, 0);
        wrong.push(diagnostic.expected("a stage that reads nothing made after it"));
    }
    wrong
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Depth first through the stages, with a stack of its own: pipelines may be long.
struct Walk<'a> {
    upstream: &'a [Vec<usize>],
    marks: Vec<Mark>,
    order: Vec<usize>,
    /// The first cycle found, its first stage at both ends, in the direction of the data.
    cycle: Option<Vec<usize>>,
}

impl Walk<'_> {
    fn visit(&mut self, start: usize) {
        if self.marks.get(start) != Some(&Mark::New) {
            return;
        }
        // Each entry: a stage, and how many of those that it needs were looked at.
        let mut stack = vec![(start, 0)];
        self.mark(start, Mark::Open);
        while let Some((stage, looked)) = stack.last_mut() {
            let stage = *stage;
            let Some(&next) = self.upstream.get(stage).and_then(|needed| needed.get(*looked)) else {
                self.mark(stage, Mark::Done);
                self.order.push(stage);
                stack.pop();
                continue;
            };
            *looked += 1;
            match self.marks.get(next) {
                Some(Mark::New) => {
                    self.mark(next, Mark::Open);
                    stack.push((next, 0));
                }
                Some(Mark::Open) if self.cycle.is_none() => {
                    let path = stack.iter().map(|(stage, _)| *stage).skip_while(|stage| *stage != next);
                    let mut cycle: Vec<usize> = path.collect();
                    cycle.push(next);
                    cycle.reverse();
                    self.cycle = Some(cycle);
                }
                _ => {}
            }
        }
    }

    fn mark(&mut self, stage: usize, mark: Mark) {
        if let Some(slot) = self.marks.get_mut(stage) {
            *slot = mark;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, deps: &str, outs: &str) -> String {
        format!("  {name}:\n    cmd: x\n    deps: [{deps}]\n    outs: [{outs}]\n")
    }

    #[test]
    fn stages_come_after_what_they_need() {
        let text =
            ["stages:\n".to_owned(), stage("c", "b, a", "c"), stage("b", "dir/x", "b"), stage("d", "", "d")]
                .concat()
                + &stage("a", "raw", "a, dir");
        let pipeline = Pipeline::parse("dvc.yaml", &text).unwrap();
        let names = |targets: &[&str]| -> Vec<String> {
            order(&pipeline, targets).unwrap().iter().map(|stage| stage.name.clone()).collect()
        };
        assert_eq!(names(&[]), ["a", "b", "c", "d"]);
        assert_eq!(names(&["b"]), ["a", "b"]);
        assert_eq!(order(&pipeline, &["z"]).unwrap_err(), "z");
    }

    #[test]
    fn a_cycle_is_told_with_its_path() {
        let text = ["stages:\n".to_owned(), stage("a", "c", "a"), stage("b", "a", "b"), stage("c", "b", "c")]
            .concat();
        let wrong = Pipeline::parse("dvc.yaml", &text).unwrap_err();
        assert_eq!(wrong[0].message, "the stages need each other in a circle: a → b → c → a");
        assert_eq!(wrong[0].line, Some(2));
        let own = Pipeline::parse("dvc.yaml", &("stages:\n".to_owned() + &stage("a", "a", "a"))).unwrap_err();
        assert!(own[0].message.contains("a → a"));
    }

    #[test]
    fn an_output_made_twice_is_told_with_both_stages() {
        let text = ["stages:\n".to_owned(), stage("a", "", "m, n/x"), stage("b", "", "./m, n")].concat();
        let wrong = Pipeline::parse("dvc.yaml", &text).unwrap_err();
        let messages: Vec<&str> = wrong.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
        assert_eq!(
            messages,
            ["the output `m` is made by `a` and by `b`", "the outputs `n/x` of `a` and `n` of `b` overlap"]
        );
        assert_eq!(wrong[0].line, Some(9));
    }

    #[test]
    fn a_long_chain_does_not_overflow() {
        let mut text = "stages:\n".to_owned();
        for position in (0..2_000).rev() {
            text += &stage(&format!("s{position}"), &format!("f{position}"), &format!("f{}", position + 1));
        }
        let pipeline = Pipeline::parse("dvc.yaml", &text).unwrap();
        assert_eq!(order(&pipeline, &[]).unwrap()[0].name, "s0");
    }
}
