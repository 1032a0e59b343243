//! A checkpoint of another job, or of another version of the job.

use millstream::Outcome;

use crate::small_job::{SHAPE, Shape, check_output, run};
use crate::{check_refused, stopped, stopped_as};

#[test]
fn a_changed_job_is_refused_by_name() {
    let stopped = stopped();
    let check = |shape: Shape, named: &[&str]| {
        check_refused(shape, stopped.dir.path(), named, &format!("{named:?}"));
    };
    check(
        Shape {
            job: "foreign",
            ..SHAPE
        },
        &["`small`", "`foreign`", "JOB"],
    );
    check(
        Shape {
            window: "renamed",
            ..SHAPE
        },
        &["operator `by-time`"],
    );
    check(
        Shape {
            running: false,
            ..SHAPE
        },
        &["operator `running`"],
    );
    check(
        Shape {
            sliding: true,
            ..SHAPE
        },
        &["operator `by-time`", "`tumbling`", "`sliding`"],
    );
    check(
        Shape { splits: 2, ..SHAPE },
        &["source `numbers`", "split `2`"],
    );
    // All this has not harmed it.
    assert_eq!(
        run(SHAPE, stopped.dir.path(), None).unwrap(),
        Outcome::Completed
    );
    check_output(stopped.dir.path(), "after refusals");
}

#[test]
fn a_job_with_a_new_operator_is_refused_by_name() {
    let stopped = stopped_as(Shape {
        running: false,
        ..SHAPE
    });
    check_refused(SHAPE, stopped.dir.path(), &["operator `running`"], "added");
}
