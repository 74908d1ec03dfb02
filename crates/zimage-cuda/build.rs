//! Compiles the C++ that Rust cannot say, and lets programs find the libtorch they were linked with.

use std::path::Path;

fn main() {
    for file in ["src/allocator.cpp", "src/shim.cpp"] {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    let headers = match std::env::var("LIBTORCH_INCLUDE") {
        Ok(elsewhere) => Path::new(&elsewhere).join("include"),
        Err(_) => Path::new(&folder).join("../include"),
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(true)
        // libtorch's headers have warnings of their own, which are not ours to fix.
        .flag("-isystem")
        .flag(headers)
        .files(["src/allocator.cpp", "src/shim.cpp"])
        .compile("zimgshim");
}
