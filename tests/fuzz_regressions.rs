//! Every input that once broke something, and one conversation with every protocol, through the functions that the fuzzer
//! drives.

use sekisho::app::registry::PROTOCOLS;

use crate::root;

#[path = "../fuzz/src/entries.rs"]
mod entries;

/// A target's name and its function.
type Target = (&'static str, fn(&[u8]));

#[test]
fn what_the_fuzzer_found_stays_mended() {
    let targets: [Target; 4] = [
        ("capture", entries::capture),
        ("conversation", entries::conversation),
        ("rule", entries::rule),
        ("config", entries::config),
    ];
    for (name, target) in targets {
        let Ok(folder) = std::fs::read_dir(root().join("fuzz/regressions").join(name)) else {
            continue;
        };
        for input in folder {
            let path = input.unwrap().path();
            println!("{}", path.display());
            target(&std::fs::read(path).unwrap());
        }
    }
}

#[test]
fn every_protocol_takes_anything_in_either_direction() {
    for protocol in 0..u8::try_from(PROTOCOLS.len()).unwrap() {
        for how in [0, 1, 2] {
            entries::conversation(&[
                protocol, how, 0, 4, 0, 1, 0, 0, 255, 1, 3, 0, b'a', b'\r', b'\n',
            ]);
        }
    }
}
