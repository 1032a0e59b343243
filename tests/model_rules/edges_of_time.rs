//! Nothing wraps at the edges of `i64`.

use super::*;

#[test]
fn o14_nothing_wraps_at_the_edges_of_time() {
    let edges = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let lengths = [1, 2, 10, i64::MAX];
    for time in edges {
        for length in lengths {
            for other in [0, -1, i64::MIN, i64::MAX] {
                let tumbling = Windows::Tumbling {
                    size: length,
                    offset: other,
                };
                for windows in [tumbling, sessions(length)] {
                    for (bound, lateness) in [(0, 0), (i64::MAX, 0), (0, i64::MAX)] {
                        let outcome = run(&trace(bound, &[at(time)]), windows, lateness);
                        assert_eq!(outcome.outs.len(), 1, "{time} {windows:?}");
                        assert_eq!(outcome.outs[0].pane, Pane::OnTime);
                        assert!(outcome.outs[0].start <= time);
                        assert!(time <= outcome.outs[0].end);
                    }
                }
            }
        }
    }
}

#[test]
fn o14_bounds_are_cut_to_the_range_of_time() {
    check_windows(
        i64::MAX,
        tumbling(1 << 40),
        &[(i64::MAX - (1 << 40) + 1, i64::MAX)],
    );
    check_windows(
        i64::MIN,
        tumbling(1 << 40),
        &[(i64::MIN, i64::MIN + (1 << 40))],
    );
    check_windows(i64::MIN, tumbling(1000), &[(i64::MIN, i64::MIN + 808)]);
    check_windows(i64::MAX, sessions(10), &[(i64::MAX, i64::MAX)]);
    check_windows(i64::MIN, sessions(10), &[(i64::MIN, i64::MIN + 11)]);
    check_windows(
        i64::MIN,
        sliding(1000, 400),
        &[
            (i64::MIN, i64::MIN + 8),
            (i64::MIN, i64::MIN + 408),
            (i64::MIN, i64::MIN + 808),
        ],
    );
}

#[test]
fn o14_no_watermark_makes_nothing_late() {
    let outcome = run(&trace(0, &[at(i64::MIN), at(i64::MIN)]), tumbling(1), 0);
    assert_eq!(outcome.watermarks, [NONE, NONE, END]);
    assert_eq!(outcome.outs.len(), 1);
    assert_eq!(outcome.late, []);
}
