//! Links the multi-pattern matcher (libhs: Vectorscan or Hyperscan) that the system provides.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-lib=hs");
}
