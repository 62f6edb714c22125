//! Broken captures: what comes before the fault is analysed, and the fault is named with its offset.

use crate::{captures, replay};

/// A small deterministic generator (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

#[test]
fn captures_cut_anywhere_are_analysed_up_to_the_cut() {
    let mut random = Random(0x5ec1_5480);
    let folder = tempfile::tempdir().unwrap();
    for capture in captures() {
        let whole = std::fs::read(&capture).unwrap();
        for _ in 0..2 {
            let cut = 1 + random.below(whole.len() - 1);
            let path = folder.path().join("cut.pcap");
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (_, output) = replay(&path, &[]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            match output.status.code() {
                Some(0) => {}
                Some(1) => assert!(
                    said.contains("cut.pcap: at offset"),
                    "{}: {said}",
                    capture.display()
                ),
                other => panic!("{} cut at {cut}: {other:?}: {said}", capture.display()),
            }
            assert!(
                !said.contains("made the analysis fail"),
                "{} cut at {cut}: {said}",
                capture.display()
            );
        }
    }
}

#[test]
fn captures_with_flipped_bytes_never_break_the_analysis() {
    let mut random = Random(0xc0ff_ee11);
    let folder = tempfile::tempdir().unwrap();
    for capture in captures() {
        let mut bytes = std::fs::read(&capture).unwrap();
        for _ in 0..1 + bytes.len() / 400 {
            let at = 24 + random.below(bytes.len() - 24);
            bytes[at] ^= 1 << random.below(8);
        }
        let path = folder.path().join("flipped.pcap");
        std::fs::write(&path, &bytes).unwrap();
        let (_, output) = replay(&path, &["-k", "none"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{}: {said}",
            capture.display()
        );
        assert!(
            !said.contains("made the analysis fail"),
            "{}: {said}",
            capture.display()
        );
    }
}
