//! What comes out does not depend on the number of workers.

use crate::{captures, replay};

#[test]
fn the_same_events_for_any_number_of_workers() {
    for capture in captures() {
        let (fused, output) = replay(&capture, &["--workers", "fused"]);
        assert!(
            output.status.code().is_some_and(|c| c < 2),
            "{}",
            capture.display()
        );
        for workers in ["1", "2", "4", "8"] {
            let (threaded, _) = replay(&capture, &["--workers", workers]);
            let same = fused == threaded;
            let first = fused.lines().zip(threaded.lines()).find(|(a, b)| a != b);
            assert!(
                same,
                "{} differs with {workers} workers: {first:?}",
                capture.display()
            );
        }
    }
}
