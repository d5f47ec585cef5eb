//! Links without start files, without libc, without anything that is loaded at run time.
fn main() {
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
        println!("cargo:rustc-link-arg={argument}");
    }
}
